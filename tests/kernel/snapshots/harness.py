"""Runs the cases in real processes: ``python -m … .harness deploy|restore DIR``.

The first process is a notebook: an IPython shell that runs each case's cells, captures ``step``,
edits the notebook, and stores the snapshot *after* the edits. The second one is fresh: it finds
neither the cells nor the local modules, only the blobs. Both write their answers as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import sys
import traceback
import typing
from pathlib import Path
from typing import Any

import msgspec
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from tests.kernel.snapshots.cases import ALL
from tests.kernel.snapshots.cases.case import Case


def answer(case: Case, step: Any) -> str:
    """What the call gives, as text; an error is an answer too."""
    scope = {"step": step, "run": asyncio.run, "typing": typing}
    try:
        return repr(eval(case.call, scope))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def shell() -> InteractiveShell:
    """The shell of this process."""
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    return InteractiveShell.instance(config=config)


def usable(library: str) -> bool:
    """Whether a library is there, with what it needs of the system."""
    try:
        importlib.import_module(library)
    except (ImportError, OSError):
        return False
    return True


def deploy(case: Case, ip: InteractiveShell, folder: Path) -> dict[str, Any]:
    """One case in the notebook's process."""
    from warmcell.snapshots import capture

    def cell(text: str) -> None:
        ip.run_cell(text, store_history=False).raise_error()

    def write(files: dict[str, str]) -> None:
        for name, text in files.items():
            path = folder / "modules" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    found: dict[str, Any] = {}
    write(case.files)
    for text in case.cells:
        cell(text)
    if not case.capture_first:
        found["before"] = answer(case, ip.user_ns["step"])
    taken = capture({"step": ip.user_ns["step"]}, extra=case.extra, copy=case.copy)
    again = capture({"step": ip.user_ns["step"]}, extra=case.extra, copy=case.copy)
    found["same_digest"] = taken.digest == again.digest
    found["digest"] = taken.digest
    if case.capture_first:
        found["before"] = answer(case, ip.user_ns["step"])
    found["live"] = answer(case, taken.live["step"])
    found["notebook_again"] = answer(case, ip.user_ns["step"])
    found["notes"] = taken.notes
    found["held"] = [msgspec.to_builtins(h) for h in taken.held]
    found["drift_before"] = [h.name for h in taken.drift()]
    write(case.edited_files)
    for text in case.edits:
        cell(text)
    found["edited"] = answer(case, ip.user_ns["step"])
    found["live_after"] = answer(case, taken.live["step"])
    found["drift"] = [h.name for h in taken.drift()]
    found["restorable"] = taken.restorable
    form = taken.store(folder / "blobs")
    found["status"] = form.status
    found["form"] = msgspec.to_builtins(form)
    return found


def restore(case: Case, form: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One case in the fresh process."""
    from warmcell.snapshots import StoredForm, restore

    roots = restore(msgspec.convert(form, StoredForm), folder / "blobs")
    return {"fresh": answer(case, roots["step"])}


def main(action: str, folder: Path) -> None:
    """Run every case and write ``<action>.json``."""
    ip = shell()
    results: dict[str, Any] = {}
    previous: dict[str, Any] = {}
    if action == "deploy":
        (folder / "blobs").mkdir()
        (folder / "modules").mkdir()
        sys.path.insert(0, str(folder / "modules"))
    else:
        previous = json.loads((folder / "deploy.json").read_text())
    for case in ALL:
        try:
            if case.needs and not usable(case.needs):
                results[case.name] = {"skipped": case.needs}
                continue
            if action == "deploy":
                results[case.name] = deploy(case, ip, folder)
            elif previous[case.name].get("status") == "stored":
                results[case.name] = restore(case, previous[case.name]["form"], folder)
        except Exception:
            results[case.name] = {"failed": traceback.format_exc()}
        finally:
            if action == "deploy" and "autoreload" in str(case.cells):
                ip.run_line_magic("autoreload", "0")
            ip.reset(new_session=False)
            gc.freeze()  # `reset` collects: let it look at what this case made, not at pandas
    (folder / f"{action}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
