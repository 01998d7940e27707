"""Cells that leave calls no interpreter: what the deployment says, and what the cell hears."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.http import Response
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

WAIT = 60.0
CELLS = """\
%load_ext warmcell
import ctypes, time
from warmcell import pipeline, step

@step
def double(x: int) -> int:
    return 2 * x

@pipeline
def doubling(x: int) -> int:
    return double(x)

doubling.deploy("double")

def size(seconds):
    "How many numbers sum() adds up in so long; it keeps the interpreter lock all the while."
    count = 2_000_000
    began = time.perf_counter()
    sum(range(count))
    return int(count * seconds / (time.perf_counter() - began))
"""


@pytest.fixture(scope="module")
def starved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[JupyterServer, Kernel]]:
    """A server of its own, with a kernel that serves one deployment."""
    folder = tmp_path_factory.mktemp("starved")
    server = JupyterServer(folder / "root", folder).start()
    try:
        kernel = server.kernel("busy.ipynb")
        kernel.run(CELLS)
        yield server, kernel
    finally:
        server.stop()


def ask_until(server: JupyterServer, probe: str, met: Callable[[Response], bool]) -> Response:
    """Ask until ``met``, as a load balancer does, and return that answer."""
    deadline = time.monotonic() + WAIT
    while True:
        answer = server.get(f"warmcell/double/{probe}")
        if met(answer):
            return answer
        assert time.monotonic() < deadline, answer.text


def test_a_spinning_cell_starves_nobody(starved: tuple[JupyterServer, Kernel]) -> None:
    """Pure Python gives the lock up: calls are answered, nobody is told anything."""
    server, kernel = starved
    cell = kernel.start("print('on', flush=True)\nwhile True: pass")
    assert cell.printed.wait(WAIT)
    for x in range(50):
        assert server.invoke("double", {"x": x}).json()["outputs"] == {"output": 2 * x}
    assert server.get("warmcell/double/readyz").status == 200
    kernel.interrupt()
    cell.wait(check=False)
    assert cell.displays == []


def test_a_cell_that_holds_the_lock_is_told_while_it_runs(
    starved: tuple[JupyterServer, Kernel],
) -> None:
    """C code that keeps the lock again and again: not ready, with the sentence, and the notice is
    under the cell before that ends. Afterwards all is well by itself."""
    server, kernel = starved
    cell = kernel.start("n = size(0.8)\nwhile True: sum(range(n))")
    answer = ask_until(server, "readyz", lambda a: a.status == 503 and "A cell of" in a.text)
    problem = answer.json()
    assert "A cell of the notebook holds the interpreter lock" in problem["detail"]
    assert "retry-after" in answer.headers
    health = ask_until(server, "health", lambda a: a.json()["status"] == "starved").json()
    assert health["lag"] >= 0.5
    assert "interpreter lock" in health["starved"]
    ask_until(server, "metrics", lambda a: 'warmcell_starved{deployment="double"} 1.0' in a.text)
    assert server.get("warmcell/double/livez").status == 200
    assert cell.printed.wait(WAIT)
    assert cell.status == "running"
    kernel.interrupt()
    cell.wait(check=False)
    shown = cell.displays[0]["text/plain"]
    assert "this cell delays deployment 'double' by up to" in shown
    assert 'role="status"' in cell.displays[0]["text/html"]
    ask_until(server, "readyz", lambda a: a.status == 200)


def test_a_kernel_that_hangs_is_not_ready(starved: tuple[JupyterServer, Kernel]) -> None:
    """While one call keeps the lock the kernel cannot even say so; its silence does."""
    server, kernel = starved
    cell = kernel.start("ctypes.PyDLL(None).sleep(8)")
    answer = ask_until(server, "readyz", lambda a: a.status == 503)
    assert "has not been heard of for" in answer.json()["detail"]
    assert server.get("warmcell/double/info").json()["starved"]
    ask_until(server, "readyz", lambda a: a.status == 200)
    cell.wait()
    assert server.invoke("double", {"x": 4}).json()["outputs"] == {"output": 8}


def test_a_single_long_call_is_told_right_after_it(
    starved: tuple[JupyterServer, Kernel],
) -> None:
    """The cell ends with the call that kept the lock, and the notice is there with its end."""
    _, kernel = starved
    cell = kernel.run("sum(range(size(0.8)))")
    assert ["delays deployment 'double'" in shown["text/plain"] for shown in cell.displays] == [
        True
    ]
