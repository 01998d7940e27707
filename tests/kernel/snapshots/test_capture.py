"""What a capture promises of itself: it copies little, damages nothing, and names what it holds."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.kernel.shells import Notebook, notebook
from warmcell.errors import SnapshotError
from warmcell.snapshots import Capture, capture
from warmcell.snapshots.loader import Loader


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
