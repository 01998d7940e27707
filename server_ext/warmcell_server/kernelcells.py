"""Cells that the host runs in a kernel, to load a pipeline there and to do something with it."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import nbformat
import zmq
from jupyter_server.utils import ensure_async

from warmcell.dedicated import MEDIA_TYPE
from warmcell.errors import (
    DeployError,
    RunTimedOut,
    UsageError,
    WarmcellError,
    error_from_problem,
)

__all__ = ["Cells", "Job", "kernel_of"]

READY_SECONDS = 60.0
LOOK_SECONDS = 0.5  # between two looks whether a kernel lives
MOST_OUTPUT = 64 * 1024  # characters, of the newest

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass
class Job:
    """What a dedicated kernel is for.

    ``target`` is ``module.pipeline``, ``file.py::pipeline`` or ``notebook.ipynb::pipeline``; files
    and modules are looked for in ``folder``. ``kernel`` names a kernelspec, ``timeout`` is in
    seconds.
    """

    target: str
    folder: Path
    kernel: str | None = None
    timeout: float = 600.0
    output: list[str] = field(default_factory=list)

    @property
    def notebook(self) -> Path | None:
        """The notebook that the pipeline is in."""
        place, separator, _ = self.target.rpartition("::")
        return self.folder / place if separator and place.endswith(".ipynb") else None

    def check(self) -> None:
        """Raise :class:`UsageError` for what no kernel needs to be started for."""
        if not self.folder.is_dir():
            raise UsageError(f"There is no folder '{self.folder}' on the server's machine.")
        place, separator, _ = self.target.rpartition("::")
        known = place.endswith((".py", ".ipynb")) if separator else re.search("[.:]", self.target)
        if not known:
            raise UsageError(
                f"'{self.target}' names no pipeline.",
                hint="Write module.pipeline, file.py::pipeline or notebook.ipynb::pipeline.",
            )
        if separator and not (self.folder / place).is_file():
            what = "notebook" if place.endswith(".ipynb") else "file"
            raise UsageError(
                f"There is no {what} '{self.folder / place}'.",
                hint="The path is relative to your folder.",
            )

    def written(self) -> str:
        """What its cells printed, the newest part."""
        return "".join(self.output)[-MOST_OUTPUT:]


class Cells:
    """Runs cells in a kernel, until a deadline."""

    def __init__(self, job: Job, manager: Any, client: Any, deadline: float) -> None:
        self._job = job
        self._manager = manager
        self._client = client
        self._deadline = deadline
        # Where another kernel got the port first, there is nobody to send to, and a send that waits
        # would hold up the server's event loop for ever.
        client.shell_channel.socket.set(zmq.SNDTIMEO, 0)

    async def ready(self) -> None:
        """Wait until the kernel takes cells."""
        try:
            await self._client.wait_for_ready(timeout=min(READY_SECONDS, self._left()))
        except (RuntimeError, zmq.Again) as error:
            raise DeployError(
                f"The kernel for {self._job.target} did not start: {error}."
            ) from error

    async def load(self, notebook: Path) -> None:
        """Run the cells of a notebook, in order, until the pipeline is defined."""
        name = self._job.target.rpartition("::")[2]
        for number, source in await asyncio.to_thread(_sources, notebook, name):
            error = await self._run(source, self._written, history=True)
            if error is not None:
                failure = DeployError(
                    f"Cell {number} of {notebook.name} raised "
                    f"{error['ename']}: {_COLOURS.sub('', error['evalue'])}",
                    hint="The notebook has to run from its top to its pipeline.",
                )
                failure.traceback = _COLOURS.sub("", "\n".join(error["traceback"]))
                raise failure

    async def ask(self, action: str, arguments: dict[str, Any]) -> Any:
        """Have :func:`warmcell.dedicated.answer` do something; raises what it tells."""
        told: list[dict[str, Any]] = []

        def take(message: dict[str, Any]) -> None:
            data = message["content"].get("data") or {}
            if message["msg_type"] == "display_data" and MEDIA_TYPE in data:
                told.append(data[MEDIA_TYPE])
            else:
                self._written(message)

        words = msgspec.json.encode(arguments).decode()
        module = "__import__('warmcell.dedicated', fromlist=['answer'])"
        error = await self._run(f"{module}.answer({action!r}, {words!r})", take, history=False)
        if error is not None or not told:
            found = error or {"ename": "DeployError", "evalue": "its kernel gave no answer"}
            raise DeployError(
                f"{self._job.target}: {found['ename']}: {_COLOURS.sub('', found['evalue'])}",
                hint="Is Warmcell installed for the kernel that was started?",
            )
        if problem := told[-1].get("problem"):
            raised = error_from_problem(500, problem)
            raised.traceback = problem.get("traceback")
            raise raised
        return told[-1]["answer"]

    async def _run(
        self, code: str, take: Callable[[dict[str, Any]], None], *, history: bool
    ) -> dict[str, Any] | None:
        """Run one cell; returns the content of its reply if it raised."""
        execution = asyncio.ensure_future(
            self._client.execute_interactive(
                code, store_history=history, allow_stdin=False, output_hook=take, timeout=None
            )
        )
        death = asyncio.ensure_future(self._death())
        try:
            await asyncio.wait(
                {execution, death},
                timeout=self._left(),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if execution.done():
                content: dict[str, Any] = execution.result()["content"]
                return None if content["status"] == "ok" else content
            if death.done():
                raise DeployError(
                    f"The kernel died while it ran the code of {self._job.target}.",
                    hint="Does a step's module, or on_init, take more memory than there is, or "
                    "end the process?",
                )
            raise self._late()
        finally:
            for task in (execution, death):
                task.cancel()
            await asyncio.wait({execution, death})

    async def _death(self) -> None:
        while await ensure_async(self._manager.is_alive()):  # noqa: ASYNC110 (no event tells)
            await asyncio.sleep(LOOK_SECONDS)

    def _written(self, message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            self._job.output.append(message["content"]["text"])

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._late()
        return left

    def _late(self) -> WarmcellError:
        return RunTimedOut(
            f"{self._job.target} took more than {self._job.timeout:g} s.",
            hint="Allow it more time: --timeout.",
        )


def _read(notebook: Path) -> Any:
    try:
        return nbformat.read(notebook, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError) as error:
        raise UsageError(f"'{notebook.name}' is no notebook that can be read: {error}") from error


def kernel_of(notebook: Path | None) -> str | None:
    """The kernelspec that a notebook names."""
    if notebook is None:
        return None
    found = _read(notebook).metadata.get("kernelspec", {}).get("name")
    return str(found) if found else None


def _sources(notebook: Path, name: str) -> list[tuple[int, str]]:
    """The code cells of a notebook, numbered from 1, up to the last that defines ``name``; all of
    them where none plainly does."""
    word = re.escape(name)
    defines = re.compile(
        rf"^(?:async\s+)?def\s+{word}\s*\("
        rf"|^{word}\s*(?::[^=\n]+)?=(?!=)"
        rf"|^%%pipeline\b.*--name[ =]{word}\b",
        re.MULTILINE,
    )
    cells = [
        (number, cell.source)
        for number, cell in enumerate(_read(notebook).cells, 1)
        if cell.cell_type == "code" and cell.source.strip()
    ]
    last = max((i for i, (_, text) in enumerate(cells) if defines.search(text)), default=None)
    return cells if last is None else cells[: last + 1]
