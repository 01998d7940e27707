"""What a kernel does that was started for one pipeline: load it, then deploy it or run it.

Such a kernel is started by the host for a command line (see ``warmcell_server.kernels``). Its
answers are published as display data of a type of their own.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
import traceback
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from warmcell.errors import DeployError, RunError, UsageError, WarmcellError
from warmcell.options import close_match

if TYPE_CHECKING:
    from warmcell.deployment import Deployment
    from warmcell.pipelines import Pipeline

__all__ = [
    "MEDIA_TYPE",
    "answer",
    "deploy",
    "leave_when_empty",
    "loading",
    "module_pipeline",
    "not_now",
    "run",
]

MEDIA_TYPE = "application/vnd.warmcell.answer+json"

_loading = False


def answer(action: str, arguments: str) -> None:
    """Do what the host asks for, and publish how it went: an answer, or a problem.

    ``arguments`` is a JSON object. Called by the host as a cell of its own.
    """
    from IPython.display import display

    actions: dict[str, Callable[..., Any]] = {"begin": _begin, "deploy": deploy, "run": run}
    if action == "restore":
        from warmcell.restoring import restore

        actions["restore"] = restore
    try:
        told = {"answer": actions[action](**json.loads(arguments))}
    except WarmcellError as error:
        told = {"problem": _problem(error)}
    except Exception as error:
        shown = traceback.format_exception(type(error), error, _own(error))
        failure = DeployError(f"{type(error).__name__}: {error}")
        told = {"problem": _problem(failure) | {"traceback": "".join(shown)}}
    display({MEDIA_TYPE: told}, raw=True)


def loading() -> bool:
    """Whether the cells of a notebook run only to define its pipelines."""
    return _loading


def not_now(name: str) -> Deployment:
    """What a cell gets that deploys while its notebook is only loaded."""
    from warmcell.deployment import Deployment
    from warmcell.link import status

    print(f"Warmcell: '{name}' is not deployed, as this notebook is only loaded.")
    return Deployment({"name": name, "url": f"{status().url}{name}/", "state": "skipped"})


def _begin(folder: str) -> None:
    """Have modules of ``folder`` found, and cells that deploy not do so."""
    global _loading
    if folder not in sys.path:
        sys.path.insert(0, folder)
    _loading = True


def deploy(
    target: str,
    *,
    name: str | None = None,
    settings: Mapping[str, Any] | None = None,
    overtake: bool = False,
    note: str | None = None,
    gate: Mapping[str, Any] | None = None,
    replaceable: Collection[str] = (),
) -> str:
    """Deploy the pipeline that ``target`` names and return the name under which it is served. This
    kernel ends when nothing of it is served any more. ``replaceable`` are the names that may be
    taken over from where they are served now."""
    global _loading
    from warmcell.deploying import name_for

    _loading = False
    pipeline = _pipeline(target)
    name = name_for(pipeline, name)
    overtake = overtake or name in replaceable
    deployed = pipeline.deploy(name, settings=settings, overtake=overtake, note=note, gate=gate)
    leave_when_empty()
    return str(deployed.name)


def leave_when_empty() -> None:
    """Have this kernel end when nothing of it is served any more."""
    from warmcell.link import kernel

    here = kernel()
    connection = here.link()

    def leave() -> None:
        with contextlib.suppress(WarmcellError):  # the host is gone, and ends this kernel too
            here.control("DELETE", "api/v1/kernels/own", link=connection)

    here.serving.emptied = leave
    if not here.serving.holds():  # it deployed to kernels of their own
        leave()


def run(
    target: str,
    *,
    parameters: Mapping[str, Any] | None = None,
    texts: Mapping[str, str] | None = None,
    run_name: str | None = None,
) -> str:
    """Run the pipeline that ``target`` names and return the id of the run, however it ended.

    Raises :class:`~warmcell.errors.ParameterError` when there is no run, as nothing fits.
    """
    global _loading
    from warmcell import batch
    from warmcell.remote.texts import read
    from warmcell.schemas import parameter_model

    _loading = False
    pipeline = _pipeline(target)
    pipeline.check()
    model = parameter_model(pipeline.function, pipeline.name, where=pipeline.source.place)
    given = {**(parameters or {}), **read(texts or {}, model.json_schema())}
    arguments = model.validate_json(json.dumps(given).encode())
    try:
        return batch.run(pipeline, arguments, run_name=run_name, trigger="command").id
    except RunError as error:
        if error.run_id is None:
            raise
        return error.run_id


def _pipeline(target: str) -> Pipeline:
    """The pipeline of ``folder/file.py::name``, ``notebook.ipynb::name``, ``module:name`` or
    ``module.name``; the cells of a notebook have run by now."""
    place, separator, name = target.rpartition("::")
    if not separator:
        return module_pipeline(target)
    if place.endswith(".ipynb"):
        from IPython.core.getipython import get_ipython

        from warmcell.notebook.names import pipeline_named

        shell = get_ipython()
        assert shell is not None
        return pipeline_named(shell.user_ns, name)
    return module_pipeline(f"{_file_module(Path(place))}:{name}")


def _file_module(file: Path) -> str:
    """Make a file importable by its name, and return that."""
    folder = str(file.parent.absolute())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return file.stem


def module_pipeline(target: str) -> Pipeline:
    """Import the pipeline of ``module:name`` or ``module.name``.

    Raises :class:`UsageError` for a module or name that is not there; what the module itself
    raises goes through.
    """
    module, colon, name = target.partition(":")
    if not colon:
        module, _, name = target.rpartition(".")
    if not module or not name:
        raise UsageError(
            f"'{target}' names no pipeline.",
            hint="Write module.pipeline, file.py::pipeline or notebook.ipynb::pipeline.",
        )
    from warmcell.pipelines import Pipeline

    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and (module == error.name or module.startswith(f"{error.name}.")):
            raise UsageError(
                f"There is no module '{error.name}'.",
                hint="Call this in the folder that it is in, or name its file: file.py::pipeline.",
            ) from None
        raise
    value: Any = found
    for part in name.split("."):
        value = getattr(value, part, None)
    if isinstance(value, Pipeline):
        return value
    known = [key for key, one in vars(found).items() if isinstance(one, Pipeline)]
    what = "there is none" if value is None else f"that is a {type(value).__name__}"
    raise UsageError(
        f"'{name}' of module '{module}' is not a pipeline: {what}.",
        hint=close_match(name, known)
        or (f"Pipelines there: {', '.join(known)}." if known else "Define one with @pipeline."),
    )


def _problem(error: WarmcellError) -> dict[str, Any]:
    """An error as the host can raise it again."""
    slug = "".join(f"-{c.lower()}" if c.isupper() else c for c in type(error).__name__).lstrip("-")
    problem: dict[str, Any] = {"type": slug, "detail": error.message, "hint": error.hint}
    for member in ("errors", "holder", "run_id", "step"):
        if value := getattr(error, member, None):
            problem[member] = value
    return problem


def _own(error: BaseException) -> Any:
    """The frames of the user's code."""
    here = str(Path(__file__).parent)
    found = error.__traceback__
    frame = found
    while frame is not None:
        name = frame.tb_frame.f_code.co_filename
        if not name.startswith((here, "<frozen importlib")) and "/importlib/" not in name:
            return frame
        frame = frame.tb_next
    return found
