"""Where output goes: into the run it belongs to, and into a cell only if the run began there."""

from __future__ import annotations

import io
import logging
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import msgspec
import pytest

from tests.kernel.executing import run, text
from tests.kernel.processes import Process, process
from warmcell import output
from warmcell.pipelines import pipeline
from warmcell.steps import step


@contextmanager
def screen() -> Iterator[io.StringIO]:
    """Capture output; what still reaches the screen is here. (No fixture: pytest sets the streams
    again between a fixture and its test.)"""
    shown = io.StringIO()
    with redirect_stdout(shown), redirect_stderr(shown):
        output.uninstall()  # a test before this one may have deployed in this process
        output.install()
        try:
            yield shown
        finally:
            output.uninstall()
        assert sys.stdout is shown


def logged(function: Any) -> Any:
    """Run a step with this body; returns its outcome."""
    speak = step(name="speak")(function)

    @pipeline
    def talks():
        return speak()

    return run(talks)


def test_prints_go_to_the_run_and_not_to_the_screen() -> None:
    """Line by line, with the step and its stream; an unfinished line is kept as well."""

    with screen() as shown:

        def speak() -> None:
            print("one", 2)
            print("three\nfour")
            print("warned", file=sys.stderr)
            sys.stdout.write("unfinished")

        outcome = logged(speak)
        assert [(log.stream, log.text, log.step) for log in outcome.detail.logs] == [
            ("stdout", "one 2\n", "speak"),
            ("stdout", "three\nfour\n", "speak"),
            ("stderr", "warned\n", "speak"),
            ("stdout", "unfinished", "speak"),
        ]
        assert shown.getvalue() == ""
        print("outside")
        assert shown.getvalue() == "outside\n"


def test_half_characters_can_be_recorded() -> None:
    """The name of a file that was not decoded, say."""
    with screen():
        outcome = logged(lambda: print("read \udc80"))
        assert [log.text for log in outcome.detail.logs] == ["read ?\n"]
        assert b"read ?" in msgspec.json.encode(outcome.detail)


def test_logging_goes_to_the_run() -> None:
    """Also from a handler that was made before, with level and its own format."""
    with screen() as shown:
        logger = logging.getLogger("test_output.model")
        handler = logging.StreamHandler(shown)
        handler.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
        logger.addHandler(handler)
        logger.propagate = False

        def speak() -> None:
            logger.warning("careful %d", 3)

        try:
            outcome = logged(speak)
            logger.warning("outside")
        finally:
            logger.removeHandler(handler)
        first = outcome.detail.logs[0]
        assert (first.stream, first.text, first.level) == ("log", "WARNING: careful 3\n", "WARNING")
        assert shown.getvalue() == "WARNING: outside\n"


def test_threads_that_a_step_starts_belong_to_it() -> None:
    """Threads of its own and of a pool that others use as well."""
    with screen() as shown:
        with ThreadPoolExecutor(1) as executor:
            executor.submit(print, "before").result()

            def speak() -> None:
                thread = threading.Thread(target=print, args=("from a thread",))
                thread.start()
                thread.join()
                executor.submit(print, "from a pool").result()

            outcome = logged(speak)
            executor.submit(print, "after").result()
        assert text(outcome, "stdout") == "from a thread\nfrom a pool\n"
        assert shown.getvalue() == "before\nafter\n"


def test_branches_and_hooks_belong_to_their_run() -> None:
    """On whatever threads they run; the body of the pipeline as well, without a step."""

    with screen() as shown:

        @step(on_success=lambda: print("hook"))
        def speak(x: int) -> int:
            print("step", x)
            return x

        @pipeline(on_end=lambda: print("end"))
        def talks(x):
            print("body")
            return speak(x), speak(x + 1)

        outcome = run(talks, x=1)
        pieces = sorted((log.text.strip(), log.step) for log in outcome.detail.logs)
        assert pieces == [
            ("body", None), ("end", None), ("hook", "speak"), ("hook", "speak_2"),
            ("step 1", "speak"), ("step 2", "speak_2"),
        ]  # fmt: skip
        assert shown.getvalue() == ""


def test_endless_output_is_cut() -> None:
    """A run keeps about a million characters, and says that there was more."""

    with screen():

        def speak() -> None:
            for _ in range(3000):
                print("x" * 1000)

        outcome = logged(speak)
        kept = text(outcome, "stdout")
        assert len(kept) < 1_100_000
        assert "the rest was dropped" in kept


def test_uninstall_puts_everything_back() -> None:
    """Exactly what was there, also after installing twice."""
    before = (
        sys.stdout, sys.stderr, logging.StreamHandler.emit, threading.Thread.start,
        ThreadPoolExecutor.submit,
    )  # fmt: skip
    output.install()
    output.install()
    assert output.installed()
    output.uninstall()
    output.uninstall()
    assert not output.installed()
    after = (
        sys.stdout, sys.stderr, logging.StreamHandler.emit, threading.Thread.start,
        ThreadPoolExecutor.submit,
    )  # fmt: skip
    assert all(one is other for one, other in zip(before, after, strict=True))


# -- in a kernel -----------------------------------------------------------------------------

PREPARE = """
import logging, threading, warnings, sys
handler = logging.StreamHandler()
logging.getLogger("early").addHandler(handler)
from IPython.display import display
from warmcell import batch, output
from warmcell.ids import new_id
from warmcell.pipelines import pipeline
from warmcell.recording import NullRecorder
from warmcell.runner import execute
from warmcell.steps import step

output.install()
go, spoken = threading.Event(), threading.Event()

@step
def speak(word):
    print(word, "printed")
    logging.getLogger("early").warning("%s logged", word)
    warnings.warn(f"{word} warned")
    display(f"{word} displayed")
    thread = threading.Thread(target=print, args=(f"{word} threaded",))
    thread.start()
    thread.join()
    return word

@step
def both(a, b):
    return a + b

@pipeline
def talks(word):
    return speak(word)

@pipeline
def branches(word):
    return both(speak(word + "1"), speak(word + "2"))

served = []
def serve():
    go.wait(30)
    served.append(execute(talks, {"word": "served"}, run_id=new_id(), state=None))
    served.append(execute(branches, {"word": "served"}, run_id=new_id(), state=None))
    spoken.set()
def batched(p, **arguments):
    return batch.run(p, arguments, recorder=NullRecorder())
"""
KINDS = ("printed", "logged", "warned", "displayed", "threaded")


@pytest.fixture(scope="module")
def kernel() -> Iterator[Process]:
    with process() as started:
        started.run(PREPARE)
        yield started


def test_a_served_run_writes_into_no_cell(kernel: Process) -> None:
    """Not into the one that runs at that moment, nor into the one that started the thread."""
    kernel.run("thread = threading.Thread(target=serve); thread.start()")
    stranger = kernel.start("print('mine'); go.set(); spoken.wait(30)")
    kernel.wait(stranger)
    kernel.settle()
    assert kernel.cells[stranger].shown == "mine\n"
    assert all("served" not in cell.shown for cell in kernel.cells.values())
    kept = kernel.value("[''.join(log.text for log in o.detail.logs) for o in served]")
    assert all(f"served {kind}" in kept[0] for kind in KINDS)
    assert all(f"served1 {kind}" in kept[1] for kind in KINDS)


@pytest.mark.parametrize("name", ["talks", "branches"])
def test_a_run_of_a_cell_writes_into_that_cell(kernel: Process, name: str) -> None:
    """And into its own log, each piece once, on whatever thread it was written."""
    words = ["batch"] if name == "talks" else ["batch1", "batch2"]
    cell = kernel.run(f"r = batched({name}, word='batch')")
    kernel.settle()
    kept = kernel.value("''.join(log['text'] for log in r.logs)")
    for word in words:
        for kind in KINDS:
            assert cell.shown.count(f"{word} {kind}") == 1, kind
            assert kept.count(f"{word} {kind}") == 1, kind


def test_the_interrupt_button_cancels_the_run_of_the_cell(kernel: Process) -> None:
    """On this thread and on others; a served run goes on, and the kernel as well."""
    kernel.run(
        "go.clear(); spoken.clear(); served.clear()\n"
        "class Kept(NullRecorder):\n"
        "    runs = []\n"
        "    def finish(self, run, detail=None): self.runs.append((run.status, sorted("
        "s.status for s in detail.steps if s.finished_at)))\n"
        "@step\n"
        "def endless(word):\n"
        "    print(word, flush=True)\n"
        "    while True: pass\n"
        "@pipeline\n"
        "def waits(word): return both(endless(word), endless(word))\n"
        "thread = threading.Thread(target=serve); thread.start()"
    )
    cell = kernel.start("batch.run(waits, {'word': 'turning'}, recorder=Kept())")
    kernel.wait(cell, until="turning\nturning")
    kernel.manager.interrupt_kernel()
    ended = kernel.wait(cell)
    assert ended.error is not None
    assert "".join(ended.error["traceback"]).startswith("RunInterrupted: Run ")
    assert kernel.value("Kept.runs") == [("cancelled", ["cancelled", "cancelled"])]
    kernel.run("go.set(); assert spoken.wait(30)")
    assert kernel.value("[o.status for o in served]") == ["succeeded", "succeeded"]


def test_an_error_shows_the_lines_of_the_cell(kernel: Process) -> None:
    """The traceback is the step's own, then one line about the run."""
    kernel.run(
        "@step\ndef broken(x):\n    y = x + 1\n    return y / 0\n"
        "@pipeline\ndef breaks(x): return broken(x)"
    )
    cell = kernel.wait(kernel.start("batched(breaks, x=1)"))
    assert cell.error is not None
    shown = "\n".join(cell.error["traceback"])
    assert "ZeroDivisionError" in shown
    assert "return" in shown
    assert "RunFailed: Run" in shown
    assert "runner.py" not in shown
    assert cell.error["ename"] == "RunFailed"


def test_figures_of_runs_are_closed_and_stay_apart(kernel: Process) -> None:
    """A figure that a run leaves open is shown in no cell, and the cell's own stays."""
    pytest.importorskip("matplotlib")
    kernel.run(
        "%matplotlib inline\n"
        "import matplotlib.pyplot as plt\n"
        "@step\n"
        "def plots(n):\n"
        "    plt.figure(n); plt.plot([1, 2])\n"
        "    return plt.get_fignums()\n"
        "@pipeline\n"
        "def draws(n): return plots(n)\n"
        "def drawn(): numbers.append(execute(draws, {'n': 3}, run_id=new_id()).value)\n"
        "numbers = []"
    )
    cell = kernel.run(
        "plt.figure(7)\n"
        "thread = threading.Thread(target=drawn); thread.start(); thread.join()\n"
        "batched(draws, n=5)\n"
        "numbers.append(plt.get_fignums()); plt.close('all')\n"
        "numbers"
    )
    assert cell.result == "[[3], [7]]"
    assert [d for d in cell.displays if "image/png" in d] == []


MASKED = """
import pandas, tempfile, os
os.environ["WARMCELL_KEY_DIR"] = tempfile.mkdtemp()
from warmcell import get_secret, secrets
secrets.set_secret("shown", "sesame-of-display")

@step
def showing():
    display({"token": get_secret("shown"), "n": 1})
    display(pandas.DataFrame({"user": ["ada"], "password": ["hunter-8"]}))
    return 1

@pipeline(settings={"redact": ["password"]})
def shows():
    return showing()
"""


def test_a_cell_displays_no_secret(kernel: Process) -> None:
    """Neither what a step displays nor what a cell does once a secret was read."""
    kernel.run(MASKED)
    cell = kernel.run("_ = batched(shows); display('is ' + get_secret('shown'))")
    shown = str(cell.displays)
    assert "sesame-of-display" not in shown
    assert "hunter-8" not in shown
    assert cell.displays[0]["text/plain"] == "{'token': '**redacted**', 'n': 1}"
    assert cell.displays[-1]["text/plain"] == "'is **redacted**'"


def test_uninstalling_in_a_kernel_restores_display(kernel: Process) -> None:
    """And prints outside of runs are as they were."""
    kernel.run("output.uninstall()")
    cell = kernel.run("display('shown'); print('said')")
    assert (cell.displays[0]["text/plain"], cell.streams["stdout"]) == ("'shown'", "said\n")
    assert kernel.value("'publish' in get_ipython().display_pub.__dict__") is False
