"""Change control over HTTP and in notebooks: snapshots, differences, drift, owners, opening."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import nbformat
import pytest

from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

IMPORTS = """
%load_ext warmcell
import math
import numpy as np
from warmcell import pipeline, step
"""
VALUES = "threshold = 0.5\nweights = np.arange(20_000.0)\nunused = 1"
HELPER = "def scaled(x):\n    return x * threshold + weights[2]"
STEP = "%%step\ndef score(x: float) -> float:\n    return math.floor(scaled(x))"
PIPELINE = "%%pipeline\ndef churn(x: float) -> float:\n    return score(x)"
CELLS = (IMPORTS, VALUES, HELPER, STEP, PIPELINE)


@pytest.fixture
def author(jupyter_server: JupyterServer) -> Iterator[Kernel]:
    """A notebook whose pipeline is defined over several cells, and deployed by nobody yet."""
    kernel = jupyter_server.kernel("author.ipynb")
    for cell in CELLS:
        kernel.run(cell)
    yield kernel
    kernel.run("for one in __import__('warmcell').Client().list_deployments(): one.undeploy()")
    kernel.close()


def get(server: JupyterServer, path: str) -> Any:
    answer = server.get(f"warmcell/api/v1/{path}")
    assert answer.status == 200, answer.text
    return answer.json()


def number(server: JupyterServer, name: str = "churn") -> int:
    return int(get(server, f"deployments/{name}")["snapshot"])


def test_snapshots_say_who_when_where_and_why(
    jupyter_server: JupyterServer, author: Kernel
) -> None:
    """Each snapshot is listed with its author, time, notebook and note, in Python and by HTTP; a
    note of a later deploy of the same thing replaces the first."""
    author.run("churn.deploy(note='the first')")
    author.run("threshold = 0.7")
    author.run("%deploy churn --note a higher threshold")
    newest, before = get(jupyter_server, "snapshots?pipeline=churn&brief=true")["snapshots"][:2]
    assert (newest["note"], before["note"]) == ("a higher threshold", "the first")
    assert newest["notebook"].endswith("author.ipynb")
    assert newest["user"]
    assert newest["created_at"] > before["created_at"]
    assert "source" not in newest
    assert get(jupyter_server, "deployments/churn")["note"] == "a higher threshold"
    author.run("served = churn.deploy(note='again')")
    assert author.value("[s['note'] for s in churn.snapshots()][:2]") == ["again", "the first"]
    assert author.value("[s['note'] for s in served.snapshots()][:2]") == ["again", "the first"]
    assert "again" in author.run("churn.snapshots()").text


def test_a_diff_of_two_snapshots_is_by_cell(jupyter_server: JupyterServer, author: Kernel) -> None:
    """The changed cells with their lines, values, parameters and settings; all else is left
    out."""
    author.run("threshold = 0.25\nchurn.deploy(concurrency=2)")
    old = number(jupyter_server)
    author.run("threshold = 0.75")
    author.run(HELPER.replace("weights[2]", "weights[3]"))
    author.run("churn.deploy(concurrency=3)")
    new = number(jupyter_server)
    found = get(jupyter_server, f"snapshots/churn/{old}/diff/{new}")
    assert (found["before"]["number"], found["after"]["number"], found["same"]) == (old, new, False)
    cells = {cell["name"]: cell for cell in found["cells"]}
    assert cells["scaled"]["change"] == "changed"
    assert cells["scaled"]["diff"][1:] == [
        " def scaled(x):",
        "-    return x * threshold + weights[2]",
        "+    return x * threshold + weights[3]",
    ]
    assert "+threshold = 0.75" in cells["threshold"]["diff"]
    assert set(cells) == {"scaled", "threshold"}
    changed = {(name["name"], name["kind"], name["change"]) for name in found["names"]}
    assert changed == {("threshold", "value", "changed"), ("scaled", "code", "changed")}
    assert found["settings"] == [{"name": "concurrency", "before": 2, "after": 3}]
    assert found["parameters"] == []
    assert get(jupyter_server, f"snapshots/churn/{new}/diff/{new}")["same"] is True
    shown = author.run(f"churn.diff({old}, {new})").text
    assert "+    return x * threshold + weights[3]" in shown
    assert author.value(f"bool(churn.diff({new}, {new}))") is False


def test_a_diff_with_the_notebook_as_it_is_now(
    jupyter_server: JupyterServer, author: Kernel
) -> None:
    """Without a deploy, also while a cell runs; nothing changed says so."""
    author.run("served = churn.deploy(concurrency=2)")
    assert author.run("served.diff()").text.startswith("churn, snapshot")
    assert author.value("bool(served.diff())") is False
    assert author.value("bool(churn.diff())") is False
    author.run(STEP.replace("floor", "ceil"))
    running = author.start("import threading; gate = threading.Event(); print('in', flush=True)\n"
                           "gate.wait(60)")  # fmt: skip
    assert running.printed.wait(30)
    found = get(jupyter_server, "deployments/churn/diff")
    assert [cell["name"] for cell in found["cells"]] == ["score"]
    assert "+    return math.ceil(scaled(x))" in found["cells"][0]["diff"]
    assert found["after"]["number"] is None
    served = number(jupyter_server)
    assert get(jupyter_server, f"snapshots/churn/{served}/diff/now")["cells"] == found["cells"]
    author.interrupt()
    running.wait(check=False)
    assert "math.ceil" in author.run("churn.diff()").text


def test_drift_names_what_changed_since(jupyter_server: JupyterServer, author: Kernel) -> None:
    """By name: the same, another value, changed where it lies, other code; deploying again
    refreezes all of them."""
    author.run("served = churn.deploy()")
    found = get(jupyter_server, "deployments/churn/drift")
    names = {entry["name"]: entry for entry in found["names"]}
    assert found["drifted"] == []
    assert {name: entry["by"] for name, entry in names.items()} == {
        "score": "copy", "scaled": "copy", "churn": "copy", "threshold": "copy",
        "weights": "reference",
    }  # fmt: skip
    assert names["weights"]["size"] >= 160_000
    assert names["weights"]["path"] == "weights <- scaled <- score <- churn"
    author.run("threshold = 0.9; weights[2] = -1.0; unused = 2")
    author.run(STEP.replace("floor", "ceil"))
    found = get(jupyter_server, "deployments/churn/drift")
    states = {entry["name"]: entry["state"] for entry in found["names"]}
    assert states == {
        "score": "changed", "threshold": "changed", "weights": "in place",
        "scaled": "same", "churn": "same",
    }  # fmt: skip
    assert sorted(found["drifted"]) == ["score", "threshold", "weights"]
    assert "calls see that" in author.run("served.drift()['weights']['says']").text
    author.run("weights = np.zeros(20_000)\n" + HELPER.replace("threshold", "0.3"))
    states = {
        entry["name"]: entry["state"]
        for entry in get(jupyter_server, "deployments/churn/drift")["names"]
    }
    assert (states["threshold"], states["scaled"]) == ("unused", "changed")
    author.run("churn.deploy()")
    assert author.value("served.drift().drifted") == []


def test_an_owner_is_not_replaced_by_surprise(
    jupyter_server: JupyterServer, author: Kernel
) -> None:
    """Another notebook has to say that it takes a name over, also once its owner's kernel is gone
    from it; who did what stands in the history."""
    author.run("churn.deploy('owned', note='mine')")
    other = jupyter_server.kernel("other.ipynb")
    for cell in CELLS:
        other.run(cell)
    refused = other.run("churn.deploy('owned')", check=False)
    assert refused.ename == "NameTaken"
    other.run("threshold = 0.1")
    other.run("churn.deploy('owned', overtake=True)")
    other.run("churn.deploy('owned')")
    refused = author.run("churn.deploy('owned')", check=False)
    assert refused.ename == "NameTaken"
    assert "other.ipynb" in refused.evalue
    history = get(jupyter_server, "deployments/owned/history")["history"]
    assert [line["event"] for line in reversed(history)][:3] == [
        "deployment.deployed", "deployment.overtaken", "deployment.deployed",
    ]  # fmt: skip
    overtaken = next(line for line in history if line["event"] == "deployment.overtaken")
    assert overtaken["detail"]["before"]["notebook"].endswith("author.ipynb")
    assert overtaken["detail"]["after"]["notebook"].endswith("other.ipynb")
    assert history[-1]["detail"]["note"] == "mine"
    assert all(line["user"] for line in history)
    other.close()


def test_a_rollback_says_what_it_did(jupyter_server: JupyterServer, author: Kernel) -> None:
    """To a numbered snapshot, from Python and over HTTP; timed, and in the history."""
    author.run("served = churn.deploy('back')")
    first = number(jupyter_server, "back")
    author.run("threshold = 100.0\nchurn.deploy('back')")
    second = number(jupyter_server, "back")
    assert jupyter_server.invoke("back", {"x": 1.0}).json()["outputs"] == {"output": 102.0}
    answer = jupyter_server.post("warmcell/api/v1/deployments/back/rollback", {"to": first})
    told = answer.json()["rollback"]
    assert (told["before"], told["after"]) == (second, first)
    assert told["seconds"] >= 0
    assert jupyter_server.invoke("back", {"x": 1.0}).json()["outputs"] == {"output": 2.0}
    assert author.value(f"served.rollback(to={second}).snapshot") == second
    none = jupyter_server.post("warmcell/api/v1/deployments/back/rollback", {"to": 4711})
    assert none.status == 404
    lines = author.value("[(l['event'], l['detail']['snapshot']) for l in served.history()]")
    assert lines[:2] == [["deployment.rolled_back", second], ["deployment.rolled_back", first]]


def test_a_snapshot_opens_as_a_notebook(jupyter_server: JupyterServer, author: Kernel) -> None:
    """Its cells in the order in which they ran, as they were, with packages and note; run in a
    fresh kernel they define the pipeline again, and an old file is not overwritten."""
    author.run("churn.deploy(note='worth keeping')")
    snapshot = number(jupyter_server)
    author.run(STEP.replace("floor", "ceil"))
    author.run("threshold = 3")
    author.run("churn.deploy()")
    assert f"churn@{snapshot}.ipynb" in author.run(f"%open churn@{snapshot}").stdout
    path = jupyter_server.root / f"churn@{snapshot}.ipynb"
    made = nbformat.read(path, as_version=4)
    nbformat.validate(made)
    code = [cell.source for cell in made.cells if cell.cell_type == "code"]
    assert [cell.strip() for cell in code] == [cell.strip() for cell in CELLS]
    about = "\n".join(cell.source for cell in made.cells if cell.cell_type == "markdown")
    assert "> worth keeping" in about
    assert "| `weights` | ndarray | 160 kB | reference |" in about
    assert re.search(r"^numpy==\d", about, re.MULTILINE)
    assert made.metadata.warmcell.snapshot.number == snapshot
    fresh = jupyter_server.kernel("fresh.ipynb")
    for source in code:
        fresh.run(source)
    assert fresh.value("churn(x=4.0).outputs['output']") == 4.0
    fresh.close()
    assert author.run(f"%open churn@{snapshot}", check=False).ename == "UsageError"
    author.run(f"%open churn@{snapshot} --overwrite")
    author.run(f"%open churn@{snapshot} kept.ipynb")
    nowhere = author.run(f"%open churn@{snapshot} nowhere/kept.ipynb", check=False)
    assert (nowhere.ename, "no folder nowhere" in nowhere.evalue) == ("UsageError", True)
    assert author.run("%open churn", check=False).ename == "UsageError"
    assert author.run("%open churn@4711", check=False).ename == "NotFound"


def test_nobody_knows_a_notebook_that_is_closed(
    jupyter_server: JupyterServer, author: Kernel
) -> None:
    """What cannot be compared says so, and what is no snapshot too."""
    author.run("churn.deploy('short')")
    assert jupyter_server.get("warmcell/api/v1/snapshots/churn/x/diff/1").status == 422
    assert jupyter_server.get("warmcell/api/v1/snapshots/churn/1/diff/4711").status == 404
    assert jupyter_server.get("warmcell/api/v1/snapshots/none/1/diff/now").status == 404
    author.run("del score")
    answer = jupyter_server.get("warmcell/api/v1/deployments/short/drift")
    assert answer.status == 409, answer.text
    assert "score" in answer.json()["detail"]
    author.run(STEP)
