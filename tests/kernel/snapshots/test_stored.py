"""The stored form: content-addressed, private, signed, and refused when anything is off."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.kernel.shells import Notebook, notebook
from warmcell.errors import NotTrusted, SnapshotError
from warmcell.snapshots import Capture, StoredForm, capture, restore, trust
from warmcell.snapshots.parts import Blob, put
from warmcell.snapshots.stored import endorse, trusted

CELLS = (
    "import numpy as np\nW = np.arange(100_000.0)\nV = np.ones(50_000)",
    "def step(x):\n    return float(W[x]) + float(V[0]) / x",
)


@pytest.fixture(autouse=True)
def own_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of this test's own."""
    monkeypatch.setenv(trust.KEY_FOLDER, str(tmp_path / "keys"))


@pytest.fixture
def nb() -> Iterator[Notebook]:
    """A notebook with a step that uses two large arrays."""
    with notebook() as cells:
        for cell in CELLS:
            cells(cell)
        yield cells


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    """An empty folder for blobs."""
    folder = tmp_path / "blobs"
    folder.mkdir()
    return folder


def take(nb: Notebook) -> Capture:
    """Capture the notebook's ``step``."""
    return capture({"step": nb["step"]}, namespace=nb.shell.user_ns)


def test_blobs_are_private_and_shared_between_snapshots(nb: Notebook, blobs: Path) -> None:
    """Files are readable by their owner only; a second snapshot of the same arrays adds only its
    own code; no temporary file stays behind."""
    first = take(nb).store(blobs)
    names = {p.name for p in blobs.iterdir()}
    assert names == {b.digest for b in first.blobs}
    assert all(p.stat().st_mode & 0o777 == 0o600 for p in blobs.iterdir())
    nb("def step(x): return W, V, 'second'")
    second = take(nb).store(blobs)
    assert second.buffers == first.buffers
    assert {p.name for p in blobs.iterdir()} - names == {
        b.digest for b in (second.code, second.sources) if b is not None
    }


def test_manifest_survives_json(nb: Notebook, blobs: Path) -> None:
    """The manifest goes through JSON and restores from there."""
    form = take(nb).store(blobs)
    again = msgspec.json.decode(msgspec.json.encode(form), type=StoredForm)
    assert again == form
    assert restore(again, blobs)["step"](2) == 2.5  # type: ignore[operator]


def test_restored_arrays_are_private_and_writable(nb: Notebook, blobs: Path) -> None:
    """A restored array can be written, which changes neither the file nor another restore."""
    nb("def step(x):\n    W[0] = x\n    return float(W[0]), float(W[1])")
    form = take(nb).store(blobs)
    one, two = restore(form, blobs), restore(form, blobs)
    assert one["step"](9.0) == (9.0, 1.0)  # type: ignore[operator]
    assert float(two["step"].__globals__["W"][0]) == 0.0  # type: ignore[attr-defined]


def test_arrays_share_memory_as_before(nb: Notebook, blobs: Path) -> None:
    """Views look at the memory of their array when restored as well, and are not stored again."""
    nb("A = np.zeros(100_000)\nV, R = A[::2], A.reshape(100, 1000)[:, 5:]")
    nb("def step(x):\n    A[0], A[5] = x, x + 1\n    return float(V[0]), float(R[0, 0])")
    form = take(nb).store(blobs)
    assert len(form.buffers) == 1
    assert restore(form, blobs)["step"](3) == nb["step"](3) == (3.0, 4.0)  # type: ignore[operator]


def test_large_memory_is_stored_once(nb: Notebook, blobs: Path) -> None:
    """Arrays, text and bytes are blobs of their own: another snapshot that holds them with other
    things beside adds no bytes of theirs."""
    nb("import pandas as pd\ntext, raw, both = 'ä' * 200_000, b'r' * 300_000, bytearray(300_000)")
    nb("df = pd.DataFrame({'a': np.arange(100_000.0)})\nother = {n: str(n) for n in range(20_000)}")
    nb("def step(x): return W[x], text[0], raw[x], both[x], df.a[x]")
    first = take(nb).store(blobs)
    sizes = sorted(b.size for b in set(first.buffers))  # `W` and the column are the same bytes
    assert sizes == [300_000, 300_000, 400_000, 800_000]
    names = {p.name for p in blobs.iterdir()}
    nb("def step(x): return W[x], text[0], raw[x], both[x], df.a[x], other[x]")
    second = take(nb).store(blobs)
    assert set(second.buffers) == set(first.buffers)
    assert {p.name for p in blobs.iterdir()} - names == {
        b.digest for b in (second.code, second.references, second.sources) if b is not None
    }
    assert restore(second, blobs)["step"](3) == (3.0, "ä", 114, 0, 3.0, "3")  # type: ignore[operator]


def test_what_does_not_load_is_refused(nb: Notebook, blobs: Path) -> None:
    """What pickles and does not load is found when it is stored, and named with the way out."""
    nb("import fractions, copyreg\nrows = [fractions.Fraction(1, 3)] * 20_000")
    nb("copyreg.pickle(fractions.Fraction, lambda f: (int, ('no number',)))")
    nb("def step(x): return rows[0]")
    try:
        form = take(nb).store(blobs)
    finally:
        nb("del copyreg.dispatch_table[fractions.Fraction]")
    assert form.status.startswith("refused: `rows` cannot be stored: ")
    assert "no number" in form.status
    assert "Make it in `on_init`" in form.status


def test_fresh_process_shows_the_cells_lines(nb: Notebook, blobs: Path, tmp_path: Path) -> None:
    """A traceback in a fresh process names the snapshot and shows the line of the cell."""
    form = take(nb).store(blobs)
    (tmp_path / "form.json").write_bytes(msgspec.json.encode(form))
    script = (
        "import sys, pathlib, traceback, msgspec\n"
        "from warmcell.snapshots import StoredForm, restore\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "form = msgspec.json.decode((folder / 'form.json').read_bytes(), type=StoredForm)\n"
        "try:\n    restore(form, folder / 'blobs')['step'](0)\n"
        "except ZeroDivisionError:\n    traceback.print_exc()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert f"of snapshot {form.digest[:8]}>" in done.stderr
    assert "return float(W[x]) + float(V[0]) / x" in done.stderr
    assert "ZeroDivisionError" in done.stderr


def test_change_before_stored_is_said(nb: Notebook, blobs: Path) -> None:
    """An array that changed between capture and writing makes the form say so, and it is not
    restored."""
    taken = take(nb)
    nb("V[0] = 5")
    form = taken.store(blobs)
    assert form.status == "changed before stored: `V`"
    with pytest.raises(SnapshotError, match="changed before stored"):
        restore(form, blobs)


def test_unsigned_is_not_loaded(nb: Notebook, blobs: Path) -> None:
    """A manifest without a signature is refused before anything is unpickled."""
    form = msgspec.structs.replace(take(nb).store(blobs), signatures=[])
    with pytest.raises(NotTrusted, match="not signed"):
        restore(form, blobs)


def test_foreign_is_not_loaded(
    nb: Notebook, blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another user's key signed is refused."""
    form = take(nb).store(blobs)
    monkeypatch.setenv(trust.KEY_FOLDER, str(tmp_path / "other"))
    with pytest.raises(NotTrusted, match="somebody else"):
        restore(form, blobs)


@pytest.mark.parametrize("part", ["code", "references", "sources"])
def test_swapped_code_is_not_loaded(nb: Notebook, blobs: Path, part: str) -> None:
    """A manifest that points to other bytes than it was signed for is refused."""
    form = take(nb).store(blobs)
    evil = put(b"cos\nsystem\n(S'exit 1'\ntR.", blobs)
    with pytest.raises(NotTrusted, match="somebody else"):
        restore(msgspec.structs.replace(form, **{part: evil}), blobs)


@pytest.mark.parametrize("part", ["code", "references", "sources", "buffers"])
@pytest.mark.parametrize("damage", ["missing", "short", "flipped", "a pipe", "a link"])
def test_damaged_blobs(nb: Notebook, blobs: Path, part: str, damage: str) -> None:
    """A blob that is missing, cut off, changed in one bit or no file is named; it is neither loaded
    nor signed, and storing the same thing again repairs it."""
    taken = take(nb)
    form = taken.store(blobs)
    blob: Any = getattr(form, part)
    path = blobs / (blob[0] if part == "buffers" else blob).digest
    data = path.read_bytes()
    if damage == "short":
        path.write_bytes(data[:-1])
    elif damage == "flipped":
        path.write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    else:
        path.unlink()
        if damage == "a pipe":
            os.mkfifo(path)
        elif damage == "a link":
            (blobs / "elsewhere").write_bytes(data)
            path.symlink_to("elsewhere")
    with pytest.raises(SnapshotError, match="missing or damaged"):
        restore(form, blobs)
    with pytest.raises(SnapshotError, match="missing or damaged"):
        endorse(form, blobs)
    assert taken.store(blobs) == form
    assert restore(form, blobs)["step"](2) == 2.5  # type: ignore[operator]


def test_buffers_that_are_code_are_signed(nb: Notebook, blobs: Path) -> None:
    """An array may be code to its owner: one that was swapped with another, however it is named, is
    not what was signed."""
    nb("import pickle\nclass Owner:\n    def __init__(self, a): self.a = a")
    nb("V = Owner(np.frombuffer(pickle.dumps('mine' * 50_000), np.uint8))")
    nb("def step(x): return pickle.loads(V.a.tobytes())[:x]")
    form = take(nb).store(blobs)
    assert len(form.buffers) == 1
    evil = put(pickle.dumps("evil" * 50_000), blobs)
    with pytest.raises(NotTrusted, match="changed since"):
        restore(msgspec.structs.replace(form, buffers=[evil]), blobs)
    (blobs / evil.digest).replace(blobs / form.buffers[0].digest)
    assert evil.size == form.buffers[0].size
    with pytest.raises(SnapshotError, match="missing or damaged"):
        restore(form, blobs)


def test_a_signature_covers_what_code_is_called(nb: Notebook, blobs: Path) -> None:
    """The names under which code appears in tracebacks are signed, too."""
    form = take(nb).store(blobs)
    with pytest.raises(NotTrusted, match="changed since"):
        restore(msgspec.structs.replace(form, files={**form.files, "a": "b"}), blobs)


def test_a_file_that_others_write_is_not_mapped(nb: Notebook, blobs: Path) -> None:
    """What is written to a blob after it was checked changes nothing that was restored from it."""
    form = take(nb).store(blobs)
    for buffer in form.buffers:
        (blobs / buffer.digest).chmod(0o666)
    restored = restore(form, blobs)
    for buffer in form.buffers:
        with (blobs / buffer.digest).open("r+b") as file:
            file.write(b"\xff" * buffer.size)
    assert [restored["step"](x) for x in (1, 99_999)] == [2.0, 99_999.0 + 1 / 99_999]  # type: ignore[operator]


def test_trusting_adds_a_signature(
    nb: Notebook, blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who trusts a foreign snapshot can load it, and so still can its author; saying so twice adds
    nothing."""
    form = take(nb).store(blobs)
    monkeypatch.setenv(trust.KEY_FOLDER, str(tmp_path / "other"))
    assert not trusted(form)
    assert not (tmp_path / "other").exists()  # looking makes no key
    both = endorse(form, blobs)
    assert endorse(both, blobs) == both
    assert len(both.signatures) == 2
    assert restore(both, blobs)["step"](2) == 2.5  # type: ignore[operator]
    monkeypatch.setenv(trust.KEY_FOLDER, str(tmp_path / "keys"))
    assert trusted(both)
    assert restore(both, blobs)["step"](2) == 2.5  # type: ignore[operator]


def test_a_foreign_manifest_leads_nowhere_else(nb: Notebook, blobs: Path) -> None:
    """A name that leaves the folder of blobs is not followed, even to be trusted."""
    secret = blobs.parent / "secret"
    secret.write_bytes(b"s")
    form = msgspec.structs.replace(take(nb).store(blobs), sources=Blob("../secret", 1))
    with pytest.raises(SnapshotError, match="missing or damaged"):
        endorse(form, blobs)


def test_another_versions_form_is_refused(nb: Notebook, blobs: Path) -> None:
    """A manifest of another format is neither loaded nor signed."""
    form = msgspec.structs.replace(take(nb).store(blobs), format=1)
    for act in (restore, endorse):
        with pytest.raises(SnapshotError, match="another version"):
            act(form, blobs)


def test_other_python_is_refused(nb: Notebook, blobs: Path) -> None:
    """Code objects of another Python are not loaded; the message names both."""
    form = msgspec.structs.replace(take(nb).store(blobs), python="cpython-3.99")
    with pytest.raises(SnapshotError, match=r"cpython-3\.99, and this is cpython-3\."):
        restore(form, blobs)


def test_folder_that_cannot_be_written(nb: Notebook, tmp_path: Path) -> None:
    """A disk that refuses is an error that names the folder."""
    with pytest.raises(SnapshotError, match="nowhere"):
        take(nb).store(tmp_path / "nowhere")


def test_key_is_private_and_made_once(tmp_path: Path) -> None:
    """The key file is readable by its owner only, and later calls find the same key."""
    first = trust.key()
    path = trust.key_file()
    assert path.parent == tmp_path / "keys"
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    assert trust.key() == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["snapshot.key"]


def test_damaged_key_is_an_error() -> None:
    """A key file of the wrong length is not used."""
    trust.key()
    trust.key_file().write_bytes(b"short")
    with pytest.raises(SnapshotError, match="damaged"):
        trust.key()
