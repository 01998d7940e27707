"""Loading and unloading, and the public face."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import warmcell
from tests.kernel.shells import Notebook, notebook
from warmcell import link, output


@pytest.fixture
def cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    for name in ("WARMCELL_CONNECTION", "JPY_PARENT_PID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WARMCELL_HOME", str(tmp_path / "home"))
    with notebook() as made:
        yield made
        link.kernel().close()


def _magics(cell: Notebook) -> dict[str, set[str]]:
    return {kind: set(names) for kind, names in cell.shell.magics_manager.magics.items()}


class TestLoading:
    def test_says_in_one_line_where_it_hosts_itself(self, cell: Notebook) -> None:
        """Without a Jupyter server loading prints one line with the URL, and only once."""
        cell("%load_ext warmcell")
        (line,) = cell.shown.strip().splitlines()
        assert "http://127.0.0.1:" in line
        cell("%reload_ext warmcell")
        assert cell.shown == ""

    def test_twice_is_once(self, cell: Notebook) -> None:
        """Loading again changes nothing: the magics stay the same objects."""
        cell("%load_ext warmcell")
        before = dict(cell.shell.magics_manager.magics["cell"])
        warmcell.load_ipython_extension(cell.shell)
        assert cell.shell.magics_manager.magics["cell"] == before

    def test_unloading_undoes_it(self, cell: Notebook) -> None:
        """Afterwards the magics, the streams and the threads are as before; again is harmless."""
        cell(
            "from IPython.core.magic import register_cell_magic\n"
            "@register_cell_magic\ndef step(line, cell): return 'theirs'"
        )
        magics, stdout, threads = _magics(cell), sys.stdout, set(threading.enumerate())
        cell("%load_ext warmcell")
        assert "pipeline" in cell.shell.magics_manager.magics["cell"]
        cell("%unload_ext warmcell")
        assert _magics(cell) == magics
        assert cell("%%step\nx") == "theirs"
        assert sys.stdout is stdout
        assert not output.installed()
        assert {t for t in threading.enumerate() if not t.daemon} <= threads
        assert link.status().mode == "none"
        warmcell.unload_ipython_extension(cell.shell)
        cell("%load_ext warmcell")
        cell("%%step\ndef f(): return 1")

    def test_a_reload_keeps_what_is_served(self, cell: Notebook) -> None:
        """%reload_ext interrupts no deployment; new magics work on."""
        cell("%load_ext warmcell")
        cell("%%step\ndef f(x: int): return x + 1")
        cell("%%pipeline\ndef p(x: int):\n    return f(x)")
        cell("d = p.deploy('kept')")
        cell("%reload_ext warmcell")
        assert cell("d.invoke(x=1)") == {"output": 2}
        cell("%%step\ndef g(x: int): return x")

    def test_a_magic_taken_over_since_is_left_alone(self, cell: Notebook) -> None:
        """Unloading takes away only what is still ours."""
        cell("%load_ext warmcell")
        cell(
            "from IPython.core.magic import register_cell_magic\n"
            "@register_cell_magic\ndef step(line, cell): return 'theirs'"
        )
        cell("%unload_ext warmcell")
        assert cell("%%step\nx") == "theirs"


class TestPublicFace:
    def test_every_name_is_there(self) -> None:
        """What `__all__` promises can be imported, and dir() shows it."""
        for name in warmcell.__all__:
            assert getattr(warmcell, name) is not None
        assert set(warmcell.__all__) <= set(dir(warmcell))
        with pytest.raises(AttributeError, match="no attribute 'nothing'"):
            warmcell.nothing  # noqa: B018

    def test_zenml_paths(self) -> None:
        """ZenML's module paths give our own objects, with the keyword names it has."""
        from warmcell.client import Client
        from warmcell.config import StepRetryConfig
        from warmcell.enums import ExecutionMode, ExecutionStatus
        from warmcell.utils.metadata_utils import log_metadata

        assert (Client, log_metadata) == (warmcell.Client, warmcell.log_metadata)
        retry = StepRetryConfig(max_retries=3, delay=1, backoff=2)
        assert warmcell.step(retry=retry)(len).options.retry == warmcell.Retry(3, 1, 2)

        @warmcell.pipeline(execution_mode=ExecutionMode.FAIL_FAST)
        def p() -> None: ...

        assert p.options.execution_mode == "fail_fast"
        assert ExecutionStatus("succeeded") is ExecutionStatus.COMPLETED
        assert ExecutionStatus.COMPLETED.is_successful
        assert not ExecutionStatus.RUNNING.is_finished

    @pytest.mark.parametrize("module", ["warmcell", "warmcell.wire", "warmcell.errors"])
    def test_importing_it_is_light(self, module: str) -> None:
        """The package and what a host needs of it load no IPython, pydantic, pandas or numpy."""
        code = (
            f"import sys, {module}\n"
            "heavy = {'IPython', 'pydantic', 'pandas', 'numpy', 'duckdb', 'jupyter_server'}\n"
            "print(*sorted(heavy & set(sys.modules)))"
        )
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
        )
        assert run.stdout.strip() == ""
