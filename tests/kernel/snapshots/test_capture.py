"""What a capture promises of itself: it copies little, damages nothing, and names what it holds."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.kernel.shells import Notebook, notebook
from warmcell.errors import SnapshotError
from warmcell.snapshots import Capture, capture
from warmcell.snapshots.loader import Loader
from warmcell.snapshots.plain import is_small


@pytest.fixture
def nb() -> Iterator[Notebook]:
    """A notebook of this process."""
    with notebook() as cells:
        yield cells


def take(nb: Notebook, **options: Any) -> Capture:
    """Capture the notebook's ``step``."""
    return capture({"step": nb["step"]}, namespace=nb.shell.user_ns, **options)


def test_large_objects_are_shared_not_copied(nb: Notebook) -> None:
    """A large array inside an instance, a container and a closure is the kernel's very object."""
    nb("import numpy as np\nW = np.ones(1_000_000)\nclass Net:\n    def __init__(self): self.w = W")
    nb("net = Net()\nparts = {'w': W}\ndef step(x): return net.w, parts['w'], W")
    taken = take(nb)
    assert all(found is nb["W"] for found in taken.live["step"](0))  # type: ignore[operator]
    assert [(h.by, h.size > 7_000_000) for h in taken.held] == [("reference", True)]


def test_held_names_variables_not_parts(nb: Notebook) -> None:
    """One entry per variable, with its path and the size of all that it shares."""
    nb("import numpy as np\nfrom types import SimpleNamespace")
    nb("cfg = SimpleNamespace(a=np.ones(20_000), b=[np.ones(20_000)])")
    nb("def helper(x): return cfg\ndef step(x): return helper(x)")
    (held,) = take(nb).held
    assert (held.name, held.path) == ("cfg", "cfg <- helper <- step")
    assert held.type == "SimpleNamespace"
    assert held.size > 320_000
    assert held.restorable
    assert held.fingerprint is not None


def test_notebook_objects_are_left_alone(nb: Notebook) -> None:
    """Capturing and serving leave the notebook's own classes and functions as they were."""
    nb("k = 1\nclass A:\n    def get(self): return k\na = A()\ndef step(x): return a.get()")
    before = dict(vars(nb["A"]))
    taken = take(nb)
    nb("k = 5")
    assert taken.live["step"](0) == 1  # type: ignore[operator]
    assert nb("a.get(), isinstance(a, A), step(0)") == (5, True, 5)
    assert {k: v for k, v in vars(nb["A"]).items() if k != "__slotnames__"} == before


def test_two_roots_share_their_world(nb: Notebook) -> None:
    """Roots captured together see one copy of each name; roots captured apart do not."""
    nb("box = []\ndef put(x): box.append(x)\ndef get(): return list(box)")
    roots = {"put": nb["put"], "get": nb["get"]}
    first = capture(roots, namespace=nb.shell.user_ns).live
    other = capture(roots, namespace=nb.shell.user_ns).live
    first["put"](1)  # type: ignore[operator]
    assert first["get"]() == [1]  # type: ignore[operator]
    assert other["get"]() == nb["box"] == []  # type: ignore[operator]


def test_dropped_snapshots_are_collected(nb: Notebook) -> None:
    """Nothing keeps a dropped snapshot, its classes or its shared objects alive."""
    nb("import numpy as np\nW = np.ones(100_000)\nclass A:\n    def get(self): return W\n")
    nb("def step(x): return A().get()")
    alive = [weakref.ref(take(nb).live["step"].__globals__["A"]) for _ in range(5)]  # type: ignore[attr-defined]
    shared = weakref.ref(nb["W"])
    gc.collect()
    assert [ref() for ref in alive] == [None] * 5
    nb("del W, A, step")
    nb.shell.displayhook.flush()
    gc.collect()
    assert shared() is None


def test_capture_while_other_threads_change_the_notebook(nb: Notebook) -> None:
    """Containers that grow and shrink meanwhile do not break a capture."""
    nb("table = {i: [i] for i in range(200)}\ndef step(x): return len(table)")
    table, stop = nb["table"], threading.Event()

    def churn() -> None:
        number = 0
        while not stop.is_set():
            table[f"k{number % 50}"] = [number]
            table.pop(f"k{(number + 25) % 50}", None)
            number += 1

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        sizes = {take(nb).live["step"](0) for _ in range(30)}  # type: ignore[operator]
    finally:
        stop.set()
        thread.join()
    assert min(sizes) >= 200


def test_long_chains_of_objects(nb: Notebook) -> None:
    """A linked list longer than the recursion limit is copied like any other."""
    nb("class Node:\n    def __init__(self, next): self.next = next")
    nb("head = None\nfor i in range(1500): head = Node(head)")
    nb("def step(x):\n    n, c = head, 0\n    while n: n, c = n.next, c + 1\n    return c")
    taken = take(nb)
    nb("head.next = None")
    assert taken.live["step"](0) == 1500  # type: ignore[operator]
    assert taken.notes == []


def test_drift_names_what_changed_in_place(nb: Notebook) -> None:
    """Only the entry that changed is named, and no longer once it is as before."""
    nb("import numpy as np\nA = np.ones(20_000)\nB = np.ones(20_000)\ndef step(x): return A, B")
    taken = take(nb)
    nb("B[5] = 2")
    assert [h.name for h in taken.drift()] == ["B"]
    nb("B[5] = 1")
    assert taken.drift() == []


def test_copy_on_request(nb: Notebook) -> None:
    """What is copied on request says so and does not drift."""
    nb("import numpy as np\nA = np.ones(20_000)\ndef step(x): return float(A[0])")
    taken = take(nb, copy=["A"])
    nb("A[:] = 0")
    assert [h.by for h in taken.held] == ["copy"]
    assert taken.drift() == []
    assert taken.live["step"](0) == 1.0  # type: ignore[operator]


def test_traceback_shows_the_cell(nb: Notebook) -> None:
    """Frozen code keeps the file and the lines of its cell, also after the cell was run again."""
    nb("def helper(x):\n    y = 1\n    return x / 0\ndef step(x): return helper(x)")
    taken = take(nb)
    with pytest.raises(ZeroDivisionError) as caught:
        taken.live["step"](1)  # type: ignore[operator]
    assert caught.traceback[-1].lineno == 2
    assert caught.traceback[-1].frame.code.raw is not nb["helper"].__code__
    assert caught.traceback[-1].frame.code.raw.co_filename == nb["helper"].__code__.co_filename


def test_nothing_is_looked_up_in_the_notebook_by_name() -> None:
    """A stream that names something of ``__main__`` is refused."""
    with pytest.raises(SnapshotError, match="by its name in the notebook"):
        Loader(b"c__main__\nhelper\n.", ()).load()


def test_root_that_cannot_be_copied(nb: Notebook) -> None:
    """A root that refuses is an error with the reason, not a silent reference."""
    nb("class Stubborn:\n    def __call__(self, x): return x\n")
    nb("Stubborn.__reduce__ = lambda self: 1 / 0\nstep = Stubborn()")
    with pytest.raises(SnapshotError, match="division by zero"):
        take(nb)


def test_patched_library_is_named_with_a_way_out(nb: Notebook) -> None:
    """A library function that the notebook replaced is named."""
    nb("import json\nkeep = json.dumps\ndef mine(x): return 'mine'\njson.dumps = mine")
    nb("def step(x): return json.dumps(x)")
    try:
        assert "`json.dumps` was replaced by notebook code (`mine`)" in take(nb).notes[0]
    finally:
        nb("json.dumps = keep")


def test_frames_are_frozen_without_a_copy(nb: Notebook) -> None:
    """A frame shares its memory with the notebook's and still does not follow it."""
    nb("import pandas as pd\ndf = pd.DataFrame({'a': range(100_000)})\ndef step(x): return df")
    taken = take(nb)
    served = taken.live["step"](0)  # type: ignore[operator]
    assert served is not nb["df"]
    assert np.shares_memory(served["a"].array, nb["df"]["a"].array)
    nb("df.loc[0, 'a'] = 7")
    assert served["a"].iloc[0] == 0
    assert [h.by for h in taken.held] == ["copy"]


def test_what_served_code_writes_is_the_notebooks(nb: Notebook) -> None:
    """A large array is shared both ways: what a call writes, the notebook sees, and the drift says
    so; copied on request it is the snapshot's own."""
    nb("import numpy as np\nW = np.zeros(50_000)")
    nb("def step(x):\n    W[0] = x\n    return float(W[0])")
    taken, apart = take(nb), take(nb, copy=["W"])
    assert apart.live["step"](5.0) == 5.0  # type: ignore[operator]
    assert nb["W"][0] == 0
    assert taken.live["step"](7.0) == 7.0  # type: ignore[operator]
    assert nb["W"][0] == 7
    assert [h.name for h in taken.drift()] == ["W"]
    assert apart.drift() == []


def test_a_small_list_within_a_shared_object_is_apart(nb: Notebook) -> None:
    """A small container is copied by its name and stays with a shared object that holds it too:
    the copy and the object no longer follow each other."""
    nb("import collections\nrows = [1]\nshared = collections.UserList()\nshared.data = rows")
    nb("def step(x):\n    rows.append(x)\n    return rows, shared")
    copied, shared = take(nb).live["step"](2)  # type: ignore[operator]
    assert copied == [1, 2]
    assert shared is nb["shared"]
    assert list(shared) == [1]


def test_classes_that_a_library_registers(nb: Notebook, tmp_path: Path) -> None:
    """A library's `__init_subclass__` runs again for the copy of a class, which is named; where it
    refuses the second one, the class stays live and is named too."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "wc_registry.py").write_text(
        "class Plugin:\n    found = []\n    def __init_subclass__(cls, **options):\n"
        "        super().__init_subclass__(**options)\n        Plugin.found.append(cls.__name__)\n"
        "class Once:\n    found = []\n    def __init_subclass__(cls):\n"
        "        if cls.__name__ in Once.found: raise ValueError('twice')\n"
        "        Once.found.append(cls.__name__)\n"
    )
    nb(f"import sys\nsys.path.insert(0, {str(folder)!r})\nfrom wc_registry import Once, Plugin")
    nb("class Mine(Plugin):\n    pass\ndef step(x): return Mine.__name__")
    taken = take(nb)
    assert "`Mine` derives from `wc_registry.Plugin`, whose `__init_subclass__`" in taken.notes[0]
    assert nb("Plugin.found") == ["Mine", "Mine"]
    assert taken.restorable
    nb("class Other(Once):\n    pass\ndef step(x): return Other.__name__")
    taken = take(nb)
    assert not taken.restorable
    assert any("`Other`" in note and "twice" in note and "on_init" in note for note in taken.notes)
    nb("sys.path.pop(0)\ndel sys.modules['wc_registry']")


def test_a_module_that_is_not_what_its_file_says(nb: Notebook, tmp_path: Path) -> None:
    """An edited file of a local module is named until it is loaded again: functions, methods and
    constants, and whether the module or a name of it is used. Comments do not count."""
    file = tmp_path / "wc_edited.py"
    text = "K = 4\ndef scale(x):\n    return x * K\nclass A:\n    def get(self): return 1\n"
    file.write_text(text)
    nb(f"import sys, importlib\nsys.path.insert(0, {str(tmp_path)!r})\nimport wc_edited")
    nb("from wc_edited import scale\ndef step(x): return wc_edited.A().get(), scale(x)")
    assert take(nb).notes == []
    file.write_text("# new\n" + text)
    assert take(nb).notes == []
    edits = [("x * K", "x + K"), ("K = 4", "K = 5"), ("return 1", "return 2"), ("class A", "(")]
    for old, new in edits:
        file.write_text(text.replace(old, new))
        (note,) = take(nb).notes
        assert "`wc_edited` is not what wc_edited.py says now" in note
        assert "`importlib.reload`" in note
    held = {h.name: h.file for h in take(nb).holdings}
    assert held == {"wc_edited": "wc_edited.py", "scale": "wc_edited.py", "step": None}
    # Of another size: to Python a file of the same size and second is the same file.
    file.write_text(text.replace("x * K", "x + K") + "# later\n")
    nb("importlib.reload(wc_edited)\nfrom wc_edited import scale")
    assert take(nb).notes == []
    file.unlink()
    assert take(nb).notes == []
    nb("sys.path.pop(0)\ndel sys.modules['wc_edited']")


def test_deep_nests_take_no_longer_than_wide_ones(nb: Notebook) -> None:
    """Each container of a nest is counted once."""
    nb("t = 4\nfor _ in range(3_000): t = (t,)")
    nb("def step(x): return t")
    counted: set[int] = set()
    is_small(nb["t"], counted)
    assert len(counted) == 3_000
    assert is_small(nb["t"][0], counted)
    assert len(counted) == 3_000
    assert take(nb).notes == []
