"""Files of secrets: nobody else reads them, no change is lost, every reader sees the latest."""

from __future__ import annotations

import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from warmcell.errors import StoreError
from warmcell.secretfile import SecretFile

COUNT = """
import sys
from pathlib import Path
from warmcell.secretfile import SecretFile

def more(value):
    value[sys.argv[2]] = value.get(sys.argv[2], 0) + 1
    value["all"] = value.get("all", 0) + 1
    return value

file = SecretFile(Path(sys.argv[1]), dict[str, int])
for _ in range(50):
    file.change(more)
"""


def put(file: SecretFile[dict[str, str]], name: str, value: str) -> dict[str, str]:
    return file.change(lambda values: {**values, name: value})


def test_a_missing_file_is_an_empty_value(tmp_path: Path) -> None:
    file = SecretFile(tmp_path / "secrets.json", dict[str, str])
    assert file.read() == {}
    assert list(tmp_path.iterdir()) == []


def test_only_the_owner_can_read_it(tmp_path: Path) -> None:
    file = SecretFile(tmp_path / "secrets.json", dict[str, str])
    put(file, "a", "1")
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secrets.json", "secrets.json.lock"]


def test_a_reader_sees_the_change_of_another(tmp_path: Path) -> None:
    """Each of many changes in a row, though they are of one size and faster than the clock."""
    reader, writer = (SecretFile(tmp_path / "secrets.json", dict[str, str]) for _ in range(2))
    for number in range(300):
        value = f"{number:03d}"
        assert put(writer, "a", value) == {"a": value}
        assert reader.read() == {"a": value}


def test_it_is_read_again_only_when_it_changed(tmp_path: Path) -> None:
    file = SecretFile(tmp_path / "secrets.json", dict[str, str])
    put(file, "a", "1")
    first = file.read()
    assert file.read() is first
    inode = file.path.stat().st_ino
    put(file, "a", "1")
    assert file.path.stat().st_ino == inode, "a change that changes nothing writes nothing"


def test_no_change_is_lost_between_processes_and_threads(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    processes = [
        subprocess.Popen([sys.executable, "-c", COUNT, str(path), name]) for name in ("a", "b")
    ]
    file = SecretFile(path, dict[str, int])

    def more(_: int) -> None:
        file.change(lambda value: {**value, "all": value.get("all", 0) + 1})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(more, range(40)))
    assert [process.wait(60) for process in processes] == [0, 0]
    assert file.read() == {"a": 50, "b": 50, "all": 140}


def test_an_error_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    file = SecretFile(tmp_path / "secrets.json", dict[str, str])
    put(file, "a", "1")

    def wrong(value: dict[str, str]) -> dict[str, str]:
        value.clear()
        raise KeyError("no")

    with pytest.raises(KeyError):
        file.change(wrong)
    assert file.read() == {"a": "1"}
    put(file, "b", "2")  # the lock was given back
    assert file.read() == {"a": "1", "b": "2"}


@pytest.mark.parametrize("content", [b"{", b'{"a": 1}', b"\xff"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    file = SecretFile(tmp_path / "secrets.json", dict[str, str])
    file.path.write_bytes(content)
    for use in (file.read, lambda: put(file, "a", "1")):
        with pytest.raises(StoreError, match=r"secrets\.json' is damaged"):
            use()
    assert file.path.read_bytes() == content


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = SecretFile(tmp_path / "gone" / "secrets.json", dict[str, str])
    with pytest.raises(StoreError, match=r"cannot be locked: No such file"):
        put(file, "a", "1")
