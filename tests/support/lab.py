"""A notebook in JupyterLab, driven as a person drives it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import TimeoutError

from tests.support.jupyter import JupyterServer

RAN = re.compile(r"\[\d+\]:")
CELL = ".jp-Notebook .jp-Cell"
SELECTED = "node => node.matches('.jp-mod-active')"
RUN = '.jp-NotebookPanel-toolbar [data-command="notebook:run-cell-and-select-next"]'


class LabNotebook:
    """An open notebook. Cells are named by their ids in the file."""

    def __init__(self, page: Any, server: JupyterServer, path: Path) -> None:
        self.page = page
        cells = nbformat.read(path, as_version=4).cells
        self._index = {cell["id"]: number for number, cell in enumerate(cells)}
        self._code = [cell["id"] for cell in cells if cell.cell_type == "code"]
        page.goto(f"{server.url}lab/tree/{path.name}?token={server.token}")
        page.locator(CELL).nth(len(cells) - 1).wait_for(state="attached")
        # Not the indicator of executions: that is idle before there is a kernel, and what runs then
        # may be lost.
        page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()

    def cell(self, name: str) -> Any:
        """The cell, outputs included."""
        return self.page.locator(CELL).nth(self._index[name])

    def run(self, name: str, timeout: float = 60.0) -> Any:
        """Run one cell and wait for its end; returns the cell."""
        cell = self.start(name)
        self.prompt(name, timeout)
        failed = cell.locator('[data-mime-type="application/vnd.jupyter.stderr"]')
        assert failed.count() == 0, failed.first.inner_text()
        cell.evaluate("node => node.scrollIntoView({block: 'end'})")
        return cell

    def start(self, name: str) -> Any:
        """Select one cell, press the toolbar's run button and return at once."""
        cell = self.cell(name)
        cell.scroll_into_view_if_needed()
        cell.locator(".jp-InputArea-prompt").first.click()
        self.page.wait_for_function(
            "node => node.matches('.jp-mod-active')", arg=cell.element_handle()
        )
        self.page.locator(RUN).click()
        return cell

    def run_through(self, last: str) -> Any:
        """Run the code cells in order, up to and with ``last``."""
        for name in self._code[: self._code.index(last) + 1]:
            cell = self.run(name)
        return cell

    def restart(self) -> None:
        """Choose Kernel > Restart Kernel… in the menu, confirm, and wait until that is done."""
        self.page.locator("#jp-MainMenu").get_by_text("Kernel", exact=True).click()
        self.page.locator('.lm-Menu [data-command="kernelmenu:restart"]').click()
        with self.page.expect_response(lambda answer: "/restart" in answer.url) as restarted:
            self.page.locator(".jp-Dialog .jp-mod-accept").click()
        assert restarted.value.ok
        self.page.locator("#jp-main-statusbar").get_by_text("| Idle").wait_for()

    def prompt(self, name: str, timeout: float = 5.0) -> str:
        """The prompt of a cell that has run, such as ``[3]:``: it changes with every execution."""
        prompt = self.cell(name).locator(".jp-InputPrompt").filter(has_text=RAN)
        try:
            prompt.wait_for(timeout=timeout * 1000)
        except TimeoutError as error:
            raise AssertionError(f"not run: {self.cell(name).inner_text()}") from error
        return str(prompt.inner_text())
