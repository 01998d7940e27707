"""Export to Parquet and import from an export or another store."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.server.store.builders import WAIT, deployment, detail, entry, raw, run, snapshot
from warmcell.blobs import keep
from warmcell.errors import QueryError, StoreError, StoreTooNew, UsageError
from warmcell.ids import new_id, now
from warmcell.records import (
    ArtifactRecord,
    FileRecord,
    MetadataRecord,
    TagRecord,
    VersionRecord,
)
from warmcell_server.store import Store, merging

DATA = b"some bytes of a model" * 100


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Open another store, of somebody else."""
    opened: list[Store] = []

    def open_() -> Store:
        home = tmp_path / f"other{len(opened)}"
        opened.append(Store.open(home, host_id=new_id(), label="another"))
        return opened[-1]

    yield open_
    for one in opened:
        one.close()


def fill(store: Store, runs: int = 3, pipeline: str = "churn") -> list[str]:
    """Runs of a deployment with all their parts, a snapshot, a version with a file, tags."""
    number = store.add_snapshot(snapshot(f"digest of {pipeline}", pipeline)).result(WAIT)
    ids = []
    for index in range(runs):
        made = run(pipeline=pipeline, deployment="live", snapshot=number, outputs=raw({"n": index}))
        parts = detail(2)
        if index == 0:
            blob = keep(DATA, store.blobs)
            kept = VersionRecord(
                new_id(), "model", "cloudpickle", "sklearn.Model", "stored", now(),
                run_id=made.run_id, step="step0", name="output", size=len(DATA),
                digest=hashlib.sha256(DATA).hexdigest(), about={"signature": "theirs"},
                files=[FileRecord("value.pkl", blob, len(DATA))], tags=["good"],
            )  # fmt: skip
            parts.versions = [kept]
            parts.artifacts.append(
                ArtifactRecord("step0", "kept", "cloudpickle", "Model", version=kept.id)
            )
            parts.metadata = [MetadataRecord("run", made.run_id, "auc", raw(0.9), "float", now())]
        parts.tags = [TagRecord("nightly", "run", made.run_id, now())]
        store.append(entry(made, parts))
        ids.append(made.run_id)
    store.append(entry(run(pipeline=pipeline, status="running", finished_at=None)))
    return ids


def rows(store: Store, query: str) -> list[list[Any]]:
    return store.sql(query).result(WAIT).rows


def test_an_export_has_all_tables_of_one_moment_and_the_files(store: Store, tmp_path: Path) -> None:
    """Other tools read it: rows as Parquet, files under their digests, a manifest that counts."""
    fill(store)
    made = store.export(str(tmp_path / "out")).result(WAIT)
    folder = Path(made["folder"])
    assert folder == tmp_path / "out"
    assert made["tables"]["runs"] == 4
    assert made["tables"]["artifact_versions"] == 1
    assert made["blobs"] == 1
    assert made["missing"] == 0
    [blob] = (folder / "blobs").iterdir()
    assert blob.read_bytes() == DATA
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["tables"] == made["tables"]
    assert manifest["blobs"] == 1
    file = str(folder / "runs.parquet")
    found = duckdb.connect().execute(
        "SELECT outputs ->> '$.n' FROM read_parquet(?) WHERE status = 'succeeded' ORDER BY 1",
        [file],
    )
    assert found.fetchall() == [("0",), ("1",), ("2",)]
    assert not list(store.home.joinpath("export").iterdir()), "nothing is left behind"
    assert {path.name for path in tmp_path.iterdir()} == {".warmcell", "out"}


def test_files_that_were_lost_are_counted(store: Store) -> None:
    """The rows go out all the same."""
    fill(store)
    for path in store.blobs.iterdir():
        path.unlink()
    made = store.export().result(WAIT)
    assert (made["missing"], made["blobs"]) == (1, 0)


def test_an_export_without_a_folder_is_inside_the_store(store: Store) -> None:
    """Without files it is the rows alone."""
    fill(store)
    made = store.export(blobs=False).result(WAIT)
    folder = Path(made["folder"])
    assert folder.parent == store.home / "export"
    assert not (folder / "blobs").exists()


def test_an_export_never_overwrites(store: Store, tmp_path: Path) -> None:
    """A folder with something in it, a file, a relative path and the blobs are refused."""
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("mine")
    for to in (tmp_path / "full", tmp_path / "full" / "mine", "here", tmp_path / "a" / "b",
               store.blobs / "x"):  # fmt: skip
        with pytest.raises((UsageError, StoreError)):
            store.export(str(to)).result(WAIT)
    assert (tmp_path / "full" / "mine").read_text() == "mine"
    assert not list(store.blobs.iterdir())


def test_an_import_brings_runs_with_all_their_parts(
    store: Store, other: Callable[[], Store], tmp_path: Path
) -> None:
    """What was exported is found again: runs, steps, logs, artifacts, files, tags, metadata."""
    theirs = other()
    ids = fill(theirs)
    theirs.claim(deployment("live", theirs.host_id)).result(WAIT)
    theirs.export(str(tmp_path / "out")).result(WAIT)
    came = store.import_(str(tmp_path / "out")).result(WAIT)
    assert came["tables"]["runs"] == 3, "the one that goes on stays out"
    assert came["blobs"] == 1
    assert came["damaged"] == 0
    for run_id in ids:
        before, after = theirs.get_run(run_id).result(WAIT), store.get_run(run_id).result(WAIT)
        assert after == before
    found = store.read("find_version", name="model").result(WAIT)
    assert found["status"] == "stored"
    assert found["tags"] == ["good"]
    assert found["about"] == {"signature": "theirs"}, "signed by them, and by nobody else"
    assert (store.blobs / found["files"][0]["blob"]).read_bytes() == DATA
    assert store.get_snapshot("churn", 1).result(WAIT)["digest"] == "digest of churn"
    assert came["tables"]["deployments"] == 1
    [deployed] = store.deployments().result(WAIT)
    assert deployed["state"] == "removed", "it is not served here"


def test_an_import_can_be_repeated(
    store: Store, other: Callable[[], Store], tmp_path: Path
) -> None:
    """The second time nothing comes, and later only what is new."""
    theirs = other()
    fill(theirs)
    theirs.export(str(tmp_path / "one")).result(WAIT)
    store.import_(str(tmp_path / "one")).result(WAIT)
    before = rows(store, "SELECT * FROM runs ORDER BY run_id")
    again = store.import_(str(tmp_path / "one")).result(WAIT)
    assert not any(again["tables"].values())
    assert again["blobs"] == 0
    assert rows(store, "SELECT * FROM runs ORDER BY run_id") == before
    for table in ("steps", "logs", "artifacts", "tags", "metadata"):
        count = f"SELECT count(*) FROM {table}"
        ended = " WHERE run_id IN (SELECT run_id FROM runs)" if table == "steps" else ""
        assert rows(store, count) == rows(theirs, count + ended)
    fill(theirs, runs=1)
    theirs.export(str(tmp_path / "two")).result(WAIT)
    more = store.import_(str(tmp_path / "two")).result(WAIT)["tables"]
    assert more["runs"] == 1
    assert more["artifact_versions"] == 1
    assert more["snapshots"] == 0
    numbers = "SELECT number FROM artifacts WHERE artifact = 'model' ORDER BY 1"
    assert rows(store, numbers) == [[1], [2]]


def test_an_import_that_broke_off_is_finished_by_the_next(
    store: Store, other: Callable[[], Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came before the part that failed is whole, and what is missing comes the next time."""
    monkeypatch.setattr(merging, "PART", 2)
    theirs = other()
    ids = fill(theirs, runs=5)
    theirs.export(str(tmp_path / "whole")).result(WAIT)
    shutil.copytree(tmp_path / "whole", tmp_path / "damaged")
    with duckdb.connect() as damaging:
        damaging.execute(
            "CREATE TABLE runs AS SELECT r.* FROM read_parquet($path) r, range(2) twice(n) "
            "WHERE run_id = $last OR n = 0",
            {"path": str(tmp_path / "whole" / "runs.parquet"), "last": max(ids)},
        )
        damaging.execute(f"COPY runs TO '{tmp_path / 'damaged' / 'runs.parquet'}'")
    with pytest.raises(QueryError, match="damaged"):
        store.import_(str(tmp_path / "damaged")).result(WAIT)
    came = [run_id for (run_id,) in rows(store, "SELECT run_id FROM runs ORDER BY run_id")]
    assert came == sorted(ids)[:4]
    for run_id in came:
        assert store.get_run(run_id).result(WAIT) == theirs.get_run(run_id).result(WAIT)
    rest = store.import_(str(tmp_path / "whole")).result(WAIT)["tables"]
    assert (rest["runs"], rest["artifact_versions"]) == (1, 0)
    for run_id in ids:
        assert store.get_run(run_id).result(WAIT) == theirs.get_run(run_id).result(WAIT)
    for table in ("steps", "logs", "artifacts", "tags", "metadata", "models", "lineage"):
        count = f"SELECT count(*) FROM {table}"
        ended = " WHERE run_id IN (SELECT run_id FROM runs)" if table == "steps" else ""
        assert rows(store, count) == rows(theirs, count + ended), table


def test_an_import_renumbers_what_has_other_content_here(
    store: Store, other: Callable[[], Store], tmp_path: Path
) -> None:
    """Snapshot 1 of theirs becomes 2 where ours is another one, and their runs follow; versions
    of an artifact come after ours; what is ours stays as it is."""
    theirs = other()
    [ours] = fill(store, runs=1)
    store.add_snapshot(snapshot("our own", "sales")).result(WAIT)
    their_ids = fill(theirs, runs=2, pipeline="sales")
    theirs.export(str(tmp_path / "out")).result(WAIT)
    mine = store.get_run(ours).result(WAIT)
    store.import_(str(tmp_path / "out")).result(WAIT)
    assert store.get_run(ours).result(WAIT) == mine
    assert store.get_snapshot("sales", 1).result(WAIT)["digest"] == "our own"
    assert store.get_snapshot("sales", 2).result(WAIT)["digest"] == "digest of sales"
    assert {store.get_run(one).result(WAIT)["snapshot"] for one in their_ids} == {2}
    versions = "SELECT number, version FROM artifacts WHERE artifact = 'model' ORDER BY 1"
    assert rows(store, versions) == [[1, "1"], [2, "2"]]


def test_another_store_is_imported_as_it_is(
    store: Store, other: Callable[[], Store], tmp_path: Path
) -> None:
    """Its folder does, while its server runs and afterwards."""
    theirs = other()
    [first] = fill(theirs, runs=1)
    assert store.import_(str(theirs.home)).result(WAIT)["tables"]["runs"] == 1
    [second] = fill(theirs, runs=1, pipeline="later")
    theirs.close()
    came = store.import_(str(theirs.home)).result(WAIT)
    assert came["tables"]["runs"] == 3, "with two that went on, and are lost by now"
    for run_id in (first, second):
        assert store.get_run(run_id).result(WAIT)["status"] == "succeeded"
    with pytest.raises(QueryError, match="this very store"):
        store.import_(str(store.home)).result(WAIT)


def test_files_that_were_left_out_come_with_a_later_import(
    store: Store, other: Callable[[], Store], tmp_path: Path
) -> None:
    """Until then the version is lost and says so."""
    theirs = other()
    fill(theirs, runs=1)
    theirs.export(str(tmp_path / "rows"), blobs=False).result(WAIT)
    store.import_(str(tmp_path / "rows")).result(WAIT)
    status = "SELECT status FROM artifacts WHERE artifact = 'model'"
    assert rows(store, status) == [["lost"]]
    assert "left out" in store.get_snapshot("churn", 1).result(WAIT)["stored"]
    theirs.export(str(tmp_path / "all")).result(WAIT)
    store.import_(str(tmp_path / "all")).result(WAIT)
    assert rows(store, status) == [["stored"]]


def test_a_foreign_folder_leads_nowhere_and_damaged_files_stay_out(
    store: Store, other: Callable[[], Store], tmp_path: Path
) -> None:
    """A blob with another content, a link and a name that is no digest are not taken."""
    theirs = other()
    fill(theirs, runs=1)
    folder = tmp_path / "out"
    theirs.export(str(folder)).result(WAIT)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    name = hashlib.sha256(b"secret").hexdigest()[:32]
    os.symlink(secret, folder / "blobs" / name)
    (folder / "blobs" / "evil.py").write_text("import this")
    [blob] = [path for path in (folder / "blobs").iterdir() if path.stat().st_size == len(DATA)]
    blob.write_bytes(DATA[:-1] + b"!")
    came = store.import_(str(folder)).result(WAIT)
    assert came["blobs"] == 0
    assert came["damaged"] == 3
    assert not list(store.blobs.iterdir())
    assert rows(store, "SELECT status FROM artifacts WHERE artifact = 'model'") == [["lost"]]


def test_a_newer_form_and_a_damaged_table_are_refused_whole(
    store: Store, other: Callable[[], Store], tmp_path: Path
) -> None:
    """Nothing of them comes in, and the store goes on."""
    theirs = other()
    fill(theirs)
    folder = tmp_path / "out"
    theirs.export(str(folder)).result(WAIT)
    path = folder / "manifest.json"
    good = path.read_text()
    path.write_text(json.dumps(json.loads(good) | {"schema_version": 99}))
    with pytest.raises(StoreTooNew, match="99"):
        store.import_(str(folder)).result(WAIT)
    path.write_text(good)
    (folder / "logs.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(QueryError, match="damaged"):
        store.import_(str(folder)).result(WAIT)
    assert rows(store, "SELECT count(*) FROM runs") == [[0]]
    assert rows(store, "SELECT count(*) FROM steps") == [[0]]
    (folder / "logs.parquet").unlink()
    with pytest.raises(StoreError):
        store.import_(str(folder)).result(WAIT)
    with pytest.raises(QueryError, match="neither"):
        store.import_(str(tmp_path)).result(WAIT)
    assert not list(store.home.joinpath("export").iterdir())


def test_a_host_that_joined_exports_and_imports_too(
    open_store: Callable[..., Store], other: Callable[[], Store], tmp_path: Path
) -> None:
    """The owner does it for it."""
    open_store()
    joined = open_store()
    assert joined.role == "joined"
    fill(joined)
    made = joined.export(str(tmp_path / "out")).result(WAIT)
    assert made["tables"]["runs"] == 4
    theirs = other()
    assert theirs.import_(str(tmp_path / "out")).result(WAIT)["tables"]["runs"] == 3
