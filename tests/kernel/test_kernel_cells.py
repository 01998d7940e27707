"""The magics in a real ipykernel, whose cells run inside a running event loop."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Kernel:
    """Runs cells and gives back all that they showed, as text."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client
        self.payload: list[Any] = []

    def run(self, code: str) -> str:
        """Run a cell that succeeds."""
        status, shown = self._run(code)
        assert status == "ok", shown
        return shown

    def fail(self, code: str) -> str:
        """Run a cell that fails."""
        status, shown = self._run(code)
        assert status == "error", shown
        return shown

    def _run(self, code: str) -> tuple[str, str]:
        shown: list[str] = []

        def take(message: dict[str, Any]) -> None:
            content = message["content"]
            match message["header"]["msg_type"]:
                case "stream":
                    shown.append(content["text"])
                case "execute_result" | "display_data":
                    shown.append(content["data"]["text/plain"])
                case "error":
                    shown.append("\n".join(content["traceback"]))

        reply = self._client.execute_interactive(
            code, timeout=60, output_hook=take, store_history=True, stop_on_error=False
        )
        self.payload = reply["content"].get("payload", [])
        return reply["content"]["status"], _COLOURS.sub("", "".join(shown))


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("kernel")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WARMCELL", "JPY_", "PYTEST"))}
    environment = {**kept, "WARMCELL_HOME": str(folder), "IPYTHONDIR": str(folder / "ipython")}
    manager, client = start_new_kernel(kernel_name="python3", env=environment, cwd=str(folder))
    try:
        made = Kernel(client)
        made.run("%load_ext warmcell")
        yield made
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_await_beside_a_step(kernel: Kernel) -> None:
    """A cell may define an async step and await it, and its output is that of the cell."""
    shown = kernel.run(
        "%%step\nimport asyncio\nasync def fetch(x):\n    await asyncio.sleep(0)\n"
        "    print('fetching', x)\n    return x * 2\nawait fetch(21)"
    )
    assert "fetching 21" in shown
    assert "42" in shown


def test_await_in_a_plain_cell(kernel: Kernel) -> None:
    """A plain cell that awaits is an async step; --run binds its output."""
    kernel.run("url = 'u'")
    kernel.run(
        "%%step download(url) -> page --run\nimport asyncio\npage = await asyncio.sleep(0, url * 2)"
    )
    assert "uu" in kernel.run("page")
    assert "uu" in kernel.run("await download('u')")


def test_shell_lines(kernel: Kernel) -> None:
    """`!cmd` and `%line` work in and around the function."""
    shown = kernel.run(
        "%%step\n!echo around\ndef listing():\n    out = !echo inside\n    here = %pwd\n"
        "    return out[0], bool(here)\nlisting()"
    )
    assert "around" in shown
    assert "('inside', True)" in shown


def test_tracebacks_show_the_cell(kernel: Kernel) -> None:
    """Errors while defining, in the step and in the syntax point at the cell's own line."""
    shown = kernel.fail("%%step\n\ndef f(x):\n    return 1 / x\nf(0)")
    assert re.search(r"Cell In\[\d+\], line 4, in f", shown)
    assert "----> 4     return 1 / x" in shown
    assert "run_cell_magic" not in shown
    kernel.run("%%step\n\ndef f(x):\n    return 1 / x")
    assert "----> 4     return 1 / x" in kernel.fail("f(0)")
    shown = kernel.fail("%%step\ndef f(x)\n    return x")
    assert re.search(r"Cell In\[\d+\], line 2\n\s+def f\(x\)", shown)
    assert "Traceback" not in shown


def test_the_cell_of_an_error_is_the_one_shown(kernel: Kernel) -> None:
    """The number in a message is the number beside the cell."""
    number = int(kernel.run("_number = get_ipython().execution_count; _number").split()[-1])
    shown = kernel.fail("%%step score(x) -> y\nz = x")
    offset = 1 if "In[" in shown else 0
    found = re.search(r"\(In\[(\d+)\]\)", shown)
    assert found is not None
    line = kernel.fail("1/0")
    after = re.search(r"Cell In\[(\d+)\]", line)
    assert after is not None
    assert int(after[1]) == int(found[1]) + offset
    assert int(found[1]) >= number


def test_help(kernel: Kernel) -> None:
    """`%%step?` opens the pager with usage and options."""
    kernel.run("%%step?")
    text = kernel.payload[0]["data"]["text/plain"]
    assert "--retries N" in text
    assert "score(features) -> probability" in text


def test_redefinition_and_use(kernel: Kernel) -> None:
    """Steps re-run in new cells are what the next call of the pipeline uses."""
    kernel.run("%%step\ndef grow(x: int): return x + 1")
    kernel.run("%%pipeline\ndef growing(x: int):\n    return grow(x)")
    kernel.run("first = growing(1)")
    kernel.run("%%step\ndef grow(x: int): return x + 10")
    kernel.run("second = growing(1)")
    assert "(2, 11)" in kernel.run("first.output, second.output")


def test_output_of_a_served_run_is_in_its_log(kernel: Kernel) -> None:
    """What a served step prints is in the log of its run, and in no cell."""
    kernel.run("%%step say(word) -> said\nprint('saying', word)\nsaid = word")
    kernel.run("%%pipeline\ndef saying(word: str):\n    return say(word)")
    kernel.run("served = saying.deploy('saying')")
    shown = kernel.run("print(served.invoke(word='hello'))")
    assert shown.strip() == "{'said': 'hello'}"
    shown = kernel.run(
        "from warmcell import Client\nrun = Client().list_runs(limit=1)[0]\n"
        "print([log['text'] for log in Client().get_run(run.id).logs])"
    )
    assert "saying hello" in shown


def test_usage_errors_are_one_line(kernel: Kernel) -> None:
    """A misspelt option marks the cell as failed with one line."""
    shown = kernel.fail("%%step f(x) -> y --retires 2\ny = x")
    assert shown.strip() == ("UsageError: %%step has no option --retires. Did you mean --retries?")
