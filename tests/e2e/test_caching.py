"""The cache of steps between notebooks, and after a kernel died in the middle of a run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.jupyter import JupyterServer

STEPS = """
from warmcell import pipeline, resume, step
import numpy as np

@step
def prepare(n: int) -> np.ndarray:
    print("ran prepare")
    return np.arange(float(n))

@step(enable_cache=False)
def costly(a: np.ndarray) -> float:
    print("ran costly")
    return float(a.sum())
"""

TAKEN = "{step.name: step.cached for step in run.steps}"


@pytest.fixture
def server(
    start_server: Callable[..., JupyterServer], monkeypatch: pytest.MonkeyPatch
) -> JupyterServer:
    """A server whose kernels cache, as they do by default."""
    monkeypatch.delenv("WARMCELL_ENABLE_CACHE", raising=False)
    return start_server()


def test_another_notebook_takes_what_the_first_one_made(server: JupyterServer) -> None:
    """The same step in another notebook, in a pipeline of another name, does not run again; what
    is signed by the same user is loaded."""
    first, second = server.kernel("first.ipynb"), server.kernel("second.ipynb")
    for kernel in (first, second):
        kernel.run("%load_ext warmcell")
        kernel.run(STEPS)
    first.run("@pipeline\ndef one(n: int):\n    return costly(prepare(n))")
    first.run("run = one(10)")
    second.run(
        "@step\ndef mean(a: np.ndarray) -> float:\n    return float(a.mean())\n"
        "@pipeline\ndef two(n: int):\n    return mean(prepare(n))"
    )
    cell = second.run("run = two(10)")
    assert "ran prepare" not in cell.stdout
    assert second.value("run.output") == 4.5
    assert second.value(TAKEN) == {"prepare": first.value("run.id"), "mean": None}


def test_a_run_whose_kernel_died_goes_on_in_another(server: JupyterServer, tmp_path: Path) -> None:
    """``kill -9`` in the third step: what the first two gave was kept by then, and a new kernel
    takes it, also of the step that is never cached."""
    kernel = server.kernel()
    mark = tmp_path / "entered"
    cells = [
        "%load_ext warmcell",
        STEPS,
        "import os, threading\nfrom pathlib import Path\n"
        f"mark = Path({str(mark)!r})\n"
        "@step\ndef last(x: float) -> float:\n"
        "    if not mark.exists():\n"
        "        from warmcell import Client, get_step_context\n"
        "        run_id = get_step_context().run_id\n"
        "        while len(Client()._call('GET', f'api/v1/cache?run={run_id}')['entries']) < 2:\n"
        "            threading.Event().wait(0.05)\n"
        "        mark.write_text(run_id)\n"
        "        os.kill(os.getpid(), 9)\n"
        "    return x + 1",
        "@pipeline\ndef long(n: int):\n    return last(costly(prepare(n)))",
    ]
    for cell in cells:
        kernel.run(cell)
    kernel.start("long(100)")
    again = server.kernel("again.ipynb")
    for cell in cells:
        again.run(cell)
    again.run("while not mark.exists():\n    threading.Event().wait(0.05)")
    run_id = mark.read_text()
    again.run(
        "from warmcell import Client\n"
        f"while Client().get_run({run_id!r}).status == 'running':\n"
        "    threading.Event().wait(0.05)"
    )
    assert again.value(f"Client().get_run({run_id!r}).status") == "lost"
    cell = again.run(f"run = resume({run_id!r})")
    assert "ran " not in cell.stdout
    assert again.value("run.output") == 4951.0
    assert again.value(TAKEN) == {"prepare": run_id, "costly": run_id, "last": None}
