"""Artifact versions that somebody else made up: loading them runs nothing and leaves no folder."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest

from warmcell import blobs
from warmcell.artifacts import Incoming, Outgoing, Serializer, register
from warmcell.artifacts.files import canonical, in_folder
from warmcell.artifacts.storing import Stored, _digest, restore, store
from warmcell.errors import ArtifactError, NotTrusted
from warmcell.records import FileRecord

TRAP = "import pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()\nvalue = 1\n"


class Customer(pydantic.BaseModel):
    name: str


@dataclasses.dataclass
class Order:
    sku: str


class Careless:
    """A class with a serializer whose author did not think of foreign files."""


class Unpickles(Serializer):
    kind = "test-careless"

    def save(self, value: Any, out: Outgoing) -> None:
        out.write("value", b"")

    def load(self, parts: Incoming) -> Any:
        raise RuntimeError("the file was read")


register(Careless, Unpickles())


@pytest.fixture(autouse=True)
def _key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARMCELL_KEY_DIR", str(tmp_path / "key"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "blobs"
    made.mkdir()
    return made


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that can be imported, and a file that is there once somebody did."""
    (tmp_path / "planted_by_somebody.py").write_text(TRAP)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "planted_by_somebody.ran"


def forged(
    kind: str, form: dict[str, Any], value: Any = None, files: Sequence[FileRecord] = ()
) -> Stored:
    """A version whose digest is right, which anybody can work out, but that nobody signed."""
    about: dict[str, Any] = {"form": form}
    if files:
        about["sha256"] = {file.name: file.blob * 2 for file in files}
    made = Stored(kind, "somebody.Thing", "", 0, "data", files=list(files), about=about)
    if not files:
        made.value = msgspec.Raw(canonical(value))
    made.digest = _digest(made, None if files else value)
    return made


@pytest.mark.parametrize("kind", ["pydantic", "dataclass"])
@pytest.mark.parametrize(
    ("named", "value"),
    [
        (["pydantic.types", "ImportString"], "planted_by_somebody.value"),
        (["planted_by_somebody", "Anything"], {"name": "x"}),
        (["subprocess", "Popen"], ["touch", "x"]),
        (["builtins", "eval"], "1"),
    ],
)
def test_a_class_is_named_and_nothing_else(
    kind: str, named: list[str], value: Any, folder: Path, trap: Path
) -> None:
    """A version of a model or dataclass makes such a class or nothing: it imports no module, and
    calls nothing that happens to be in memory."""
    with pytest.raises(ArtifactError, match="is not here"):
        restore(forged(kind, {"class": named}, value), in_folder(folder))
    assert not trap.exists()
    assert "planted_by_somebody" not in sys.modules


def test_one_kind_of_class_does_not_pass_for_the_other(folder: Path) -> None:
    """A model is no dataclass; what is the right one is made, whoever wrote it."""
    model, order = [__name__, "Customer"], [__name__, "Order"]
    for kind, named in (("dataclass", model), ("pydantic", order)):
        with pytest.raises(ArtifactError):
            restore(forged(kind, {"class": named}, {"name": "a", "sku": "b"}), in_folder(folder))
    made = restore(forged("pydantic", {"class": model}, {"name": "Ada"}), in_folder(folder))
    assert made == Customer(name="Ada")


def test_a_registered_serializer_reads_what_is_signed(folder: Path) -> None:
    """One that does not say that it is safe is taken for one that runs code."""
    mine = store(Careless(), folder)
    with pytest.raises(ArtifactError, match="was read"):
        restore(mine, in_folder(folder))
    mine.about.pop("signature")
    with pytest.raises(NotTrusted, match="not signed"):
        restore(mine, in_folder(folder))


def test_a_signature_counts_for_its_kind_alone(folder: Path) -> None:
    """Bytes that this user signed as bytes, because a caller sent them, are no pickle of theirs."""
    mine = store(b"cos\nsystem\n(S'true'\ntR.", folder)
    forgery = Stored(
        "pickle", mine.type, "", mine.size, mine.role,
        files=[FileRecord("object.pkl", mine.files[0].blob, mine.files[0].size)],
        about={**mine.about, "sha256": {"object.pkl": mine.about["sha256"]["value.bin"]}},
    )  # fmt: skip
    forgery.digest = _digest(forgery, None)
    with pytest.raises(NotTrusted, match="somebody else"):
        restore(forgery, in_folder(folder))
    forgery.digest = mine.digest
    with pytest.raises(ArtifactError, match="does not fit"):
        restore(forgery, in_folder(folder))


@pytest.mark.parametrize("name", ["content/../../out", "content//etc/out", "content/a\0b"])
def test_a_folder_stays_in_its_folder(name: str, folder: Path, tmp_path: Path) -> None:
    """Names of files and folders that lead out are refused; nothing is written there."""
    blob = blobs.keep(b"x", folder)
    digest = hashlib.sha256(b"x").hexdigest()
    made = forged("path", {"of": "folder", "name": "f"}, files=[FileRecord(name, blob, 1)])
    made.about["sha256"] = {name: digest}
    made.digest = _digest(made, None)
    with pytest.raises(ArtifactError, match="no name of a file"):
        restore(made, in_folder(folder))
    made = forged(
        "path", {"of": "folder", "name": "f", "folders": [name.removeprefix("content/")]}, files=[]
    )
    made.value = None
    made.digest = _digest(made, None)
    with pytest.raises(ArtifactError, match="no name of a file"):
        restore(made, in_folder(folder))


def test_names_of_files_that_posix_has(folder: Path, tmp_path: Path) -> None:
    """A folder whose files have colons and backslashes in their names comes back."""
    given = tmp_path / "given"
    given.mkdir()
    names = {"2026-11-21T09:30.csv", "a b.txt", "..c"} | (
        {"back\\slash"} if os.sep == "/" else set()
    )
    for name in names:
        (given / name).write_text(name)
    loaded = restore(store(given, folder), in_folder(folder))
    assert {path.name for path in loaded.iterdir()} == names


@pytest.mark.parametrize("digest", ["../secret", "/etc/passwd", "", "0" * 31, "A" * 32])
def test_a_blob_is_a_digest(digest: str, folder: Path) -> None:
    """A record cannot make anybody read a file that is no blob."""
    (folder.parent / "secret").write_text("x")
    with pytest.raises(OSError, match="digest"):
        blobs.opened(folder, digest)


def test_a_blob_is_a_file(folder: Path, tmp_path: Path) -> None:
    """A link or a folder that is called like a blob is none."""
    (tmp_path / "secret").write_text("x")
    (folder / ("0" * 32)).symlink_to(tmp_path / "secret")
    (folder / ("1" * 32)).mkdir()
    for digest in ("0" * 32, "1" * 32):
        with pytest.raises(OSError, match=digest):
            blobs.read(folder, digest)
    assert blobs.read(folder, blobs.keep(b"here", folder)) == b"here"
