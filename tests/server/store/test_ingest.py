"""Lines that cannot be stored, and files that grow."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tests.server.store.builders import WAIT, detail, entry, raw, run
from warmcell.records import DetailEntry
from warmcell_server.store import Store, spool


@pytest.mark.parametrize(
    "line",
    [
        b"no json",
        b'{"entry": "riddle"}',
        b'{"entry": "run", "run": {}}',
        b'{"entry": "run", "run": {"run_id": 1}}',
        b"\xff\xfe",
        b'{"entry": "run", "run": ' + b"[" * 100_000 + b"}",
        msgspec.json.encode(entry(run(snapshot=2**63 + 5))),
        msgspec.json.encode(entry(run(created_at=10**30))),
    ],
    ids=["text", "kind", "empty", "type", "bytes", "depth", "number", "time"],
)
def test_a_bad_line_becomes_an_error_and_its_batch_is_stored(store: Store, line: bytes) -> None:
    """The records around it are there, and it is listed with its reason."""
    good = [run() for _ in range(5)]
    for record in good[:3]:
        store.append(entry(record, detail(1)))
    store.append_line(line)
    for record in good[3:]:
        store.append(entry(record, detail(1)))
    ids = {item["run_id"] for item in store.list_runs().result(WAIT)}
    assert ids == {record.run_id for record in good}
    ((reason, host_id),) = store.sql("SELECT reason, host_id FROM errors").result(WAIT).rows
    assert reason
    assert host_id == store.host_id
    assert store.sql("SELECT count(*) FROM logs").result(WAIT).rows == [[5]]


def test_bytes_that_are_no_text_do_not_lose_a_run(store: Store) -> None:
    """Invalid UTF-8 inside a caller's JSON is replaced; the run itself is kept."""
    record = run(parameters=msgspec.Raw(b'{"x": "\xff"}'))
    store.append(entry(record))
    assert store.get_run(record.run_id).result(WAIT)["parameters"] == {"x": "\ufffd"}


def test_odd_text_is_kept(store: Store) -> None:
    """NUL characters, emoji and surrogates written as escapes come back as they were."""
    record = run(run_name="a\0b \U0001f600", outputs=raw({"t": "\0\u2028"}))
    store.append(entry(record))
    got = store.get_run(record.run_id).result(WAIT)
    assert got["run_name"] == "a\0b \U0001f600"
    assert got["outputs"] == {"t": "\0\u2028"}


def test_files_are_changed_as_they_grow_and_removed_once_stored(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A spool of many files is read in order; what is in the database leaves the disk."""
    monkeypatch.setattr(spool, "ROTATE_AT", 2000)
    records = [run(status="running") for _ in range(40)]
    for record in records:
        store.append(entry(record))
    for record in records:
        store.append(entry(run(run_id=record.run_id)))
    listed = store.list_runs(limit=100).result(WAIT)
    assert [item["status"] for item in listed] == ["succeeded"] * 40
    assert len(spool.files(store.home / "spool")) == 1


def test_a_line_longer_than_a_read_is_one_record(store: Store) -> None:
    """Records may be larger than the pieces in which a spool is read."""
    record = run(outputs=raw("x" * 5_000_000))
    store.append(entry(run()))
    store.append(entry(record))
    store.append(entry(run()))
    assert len(store.get_run(record.run_id).result(WAIT)["outputs"]) == 5_000_000
    assert len(store.list_runs().result(WAIT)) == 3


def test_a_spool_that_was_copied_back_is_not_taken_twice(store: Store, tmp_path: Path) -> None:
    """A run has one row, whatever comes again."""
    line = msgspec.json.encode(entry(run(), detail(2)))
    for _ in range(3):
        store.append_line(line)
    store.append(DetailEntry("x", raw({})))
    assert len(store.list_runs().result(WAIT)) == 1
    assert store.sql("SELECT count(*) FROM steps").result(WAIT).rows == [[2]]
