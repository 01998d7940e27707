"""A real IPython shell in this process, for tests of what cells do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from traitlets.config import Config

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Notebook:
    """Runs cells one after another and remembers what the last one showed."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self.shown = ""

    def __call__(self, text: str) -> Any:
        """Run a cell that succeeds and return the value of its last expression."""
        result = self._run(text)
        assert result.success, self.shown
        return result.result

    def fails(self, text: str) -> BaseException:
        """Run a cell that fails; its traceback, without colours, is in ``shown``."""
        result = self._run(text)
        assert not result.success, self.shown
        error: BaseException = result.error_before_exec or result.error_in_exec
        return error

    def __getitem__(self, name: str) -> Any:
        return self.shell.user_ns[name]

    def __contains__(self, name: str) -> bool:
        return name in self.shell.user_ns

    def _run(self, text: str) -> Any:
        with capture_output() as output:
            result = self.shell.run_cell(text, store_history=True)
        self.shown = _COLOURS.sub("", output.stdout + output.stderr)
        return result


@contextmanager
def notebook() -> Iterator[Notebook]:
    """Make a shell, the one of this process for as long as the context lasts."""
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    try:
        yield Notebook(shell)
    finally:
        InteractiveShell.clear_instance()
