"""The magics: argument parsing, and nothing else."""

from __future__ import annotations

import difflib
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core import error as ipython_error
from IPython.core.magic import Magics, cell_magic, line_cell_magic, line_magic, magics_class
from IPython.core.magic import no_var_expand as verbatim
from IPython.core.magic_arguments import argument, magic_arguments, parse_argstring

from warmcell.errors import UsageError
from warmcell.notebook import cells, signatures
from warmcell.notebook.cell import Cell
from warmcell.notebook.listing import (
    deployments_table,
    found_in_logs,
    history,
    pipelines_table,
    query,
    views_table,
)
from warmcell.notebook.names import literal, look_up, pipeline_named
from warmcell.notebook.servingoptions import serving_options, settings_given
from warmcell.options import PipelineOptions, Retry, StepOptions

if TYPE_CHECKING:
    from argparse import Namespace

    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["WarmcellMagics"]

_HOOKS = ("on_start", "on_end", "on_success", "on_failure")


def _common(magic: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that steps and pipelines share."""
    options = [
        argument("--name", metavar="NAME", help="its name, if not that of the function"),
        argument("--retries", type=int, metavar="N", help="tries after the first one"),
        argument("--retry-delay", type=float, metavar="S", help="seconds before a retry"),
        argument("--retry-backoff", type=float, metavar="F", help="factor from wait to wait"),
        argument("--retry-on", nargs="+", metavar="ERROR", help="exceptions that count"),
        argument("--on-start", metavar="FUNCTION", help="called before it starts"),
        argument("--on-end", metavar="FUNCTION", help="called when it has ended, either way"),
        argument("--on-success", metavar="FUNCTION", help="called when it succeeded"),
        argument("--on-failure", metavar="FUNCTION", help="called with the exception"),
        argument("--tags", nargs="+", metavar="TAG", help="words to find it by"),
        argument("--settings", metavar="DICT", help="name of a dict of settings"),
        argument("--cache", action="store_true", help="take results of earlier runs"),
        argument("--no-cache", action="store_true", help="run it, whatever was run before"),
        argument("--cache-policy", metavar="POLICY", help="what counts as the same"),
    ]
    return functools.reduce(lambda made, option: option(made), reversed(options), magic)


@magics_class
class WarmcellMagics(Magics):
    """``%%step``, ``%%pipeline``, ``%%endpoint``, ``%deploy``, ``%backtest``, ``%undeploy``,
    ``%open``, ``%replay``, ``%runs``, ``%pipelines`` and ``%deployments``. ``replaced`` holds
    magics of the same names that were there before."""

    replaced: dict[tuple[str, str], Any]

    @verbatim
    @magic_arguments("%step")
    @_common
    @argument("--timeout", type=float, metavar="S", help="seconds that an attempt may take")
    @argument("--run", action="store_true", help="also run it, on variables of its inputs' names")
    @cell_magic
    def step(self, line: str, cell: str) -> None:
        """Define a step.

        In a cell with a `def`, the last top-level function is the step and the others are helpers:

            %%step
            def features(customer: dict) -> pd.DataFrame: ...

        A cell without one names its inputs and outputs on the first line; other names that it
        reads are the notebook's variables:

            %%step score(features) -> probability
            probability = float(model.predict_proba(features)[0, 1])
        """
        signature, rest = signatures.split(line)
        given = _parse(WarmcellMagics.step, rest)
        source = Cell.of(self._here, "step", line, cell)
        if signature is None:
            if given.run:
                raise UsageError("--run goes with inputs on the first line.", hint=_RUN_HINT)
            cells.define_step(source, given.name, self._step_options(given))
            return
        options = self._step_options(given)
        cells.define_plain(source, signature, given.name, options, run=given.run)

    @verbatim
    @magic_arguments("%pipeline")
    @_common
    @argument("--on-init", metavar="FUNCTION", help="makes the state that steps see")
    @argument("--init", nargs="+", metavar="KEY=VALUE", help="arguments of --on-init")
    @argument("--on-cleanup", metavar="FUNCTION", help="called with the state at the end")
    @argument("--execution-mode", metavar="MODE", help="continue_on_failure or fail_fast")
    @argument("--dynamic", action="store_true", help="run the body as plain Python")
    @serving_options
    @cell_magic
    def pipeline(self, line: str, cell: str) -> None:
        """Define a pipeline: the last top-level function of the cell, which calls your steps.

            %%pipeline --on-init load_model
            def churn(customer: dict) -> dict:
                return respond(score(features(customer)))

        Then `churn(customer)` runs it and `churn.deploy()` serves it.
        """
        given = _parse(WarmcellMagics.pipeline, line)
        source = Cell.of(self._here, "pipeline", line, cell)
        cells.define_pipeline(source, given.name, self._pipeline_options(given))

    @verbatim
    @magic_arguments("%endpoint")
    @argument("method", metavar="METHOD", help="GET, POST, PUT, PATCH or DELETE")
    @argument("path", metavar="PATH", help="below the deployment's URL: /predictions/{id}")
    @argument("--pipeline", metavar="PIPELINE", help="deploy it with this pipeline")
    @argument("--name", metavar="NAME", help="its name, if not that of the function")
    @argument("--open", action="store_true", help="let everybody call it")
    @cell_magic
    def endpoint(self, line: str, cell: str) -> None:
        """Define a custom endpoint: the last top-level function of the cell answers requests.

            %%endpoint GET /predictions/{id} --pipeline churn
            def prediction(id: int, verbose: bool = False) -> dict: ...

        Names in braces come from the path, plain types from the query, all else from the body.
        Without --pipeline, name it in the setting custom_endpoints.
        """
        given = _parse(WarmcellMagics.endpoint, line)
        pipeline = given.pipeline and pipeline_named(self._here.user_ns, given.pipeline).name
        source = Cell.of(self._here, "endpoint", line, cell)
        cells.define_endpoint(
            source,
            given.method,
            given.path,
            name=given.name,
            auth_required=not given.open,
            pipeline=pipeline,
        )

    @magic_arguments("deploy")
    @argument("pipeline", metavar="PIPELINE", help="the pipeline, by the name of its variable")
    @argument("name", nargs="?", metavar="NAME", help="name in the URL; its own by default")
    @argument("--settings", metavar="DICT", help="name of a dict of settings")
    @serving_options
    @argument("--overtake", action="store_true", help="take the name over from another notebook")
    @argument("--note", nargs="+", metavar="WORD", help="what to remember of this snapshot")
    @argument("--gate", metavar="GATE", help="bounds on what may change: a name, or True")
    @argument("--traffic", type=float, metavar="SHARE", help="beside what is served, such as 0.1")
    @line_magic
    def deploy(self, line: str) -> Any:
        """Serve a snapshot of a pipeline under a URL: %deploy churn, or %deploy churn my-name."""
        given = _parse(WarmcellMagics.deploy, line)
        pipeline = pipeline_named(self._here.user_ns, given.pipeline)
        settings = settings_given(given, self._here.user_ns)
        note = " ".join(given.note).strip("\"'") if given.note else None
        gate = given.gate and literal(self._here.user_ns, given.gate, "--gate")
        return pipeline.deploy(
            given.name,
            settings=settings,
            overtake=given.overtake,
            note=note,
            gate=gate,
            traffic=given.traffic,
        )

    @verbatim
    @magic_arguments("backtest")
    @argument("pipeline", metavar="PIPELINE", help="the pipeline, by the name of its variable")
    @argument("name", nargs="?", metavar="NAME", help="the deployment whose calls are replayed")
    @argument("--last", type=int, metavar="N", help="how many calls, the newest; 200 by default")
    @argument("--since", metavar="TIME", help="only calls from then on: 2026-11-21T09:30:00Z")
    @argument("--sample", type=int, metavar="N", help="so many of them, drawn at random")
    @argument("--runs", nargs="+", metavar="ID", help="these calls, or a golden set")
    @argument("--tolerance", type=float, metavar="X", help="how far numbers may be apart")
    @argument("--ignore", nargs="+", metavar="PLACE", help="not compared: rows[*].id")
    @argument("--concurrency", type=int, metavar="N", help="calls at once")
    @argument("--timeout", type=float, metavar="S", help="seconds that a call may take")
    @line_magic
    def backtest(self, line: str) -> Any:
        """Replay recorded calls through a pipeline as it is now, and compare: %backtest churn.

        Its steps are really executed. Nothing is deployed, and nothing recorded.
        """
        parsed = vars(_parse(WarmcellMagics.backtest, line))
        given = {name: value for name, value in parsed.items() if value is not None}
        pipeline = pipeline_named(self._here.user_ns, given.pop("pipeline"))
        return pipeline.backtest(given.pop("name", None), **given)

    @magic_arguments("undeploy")
    @argument("name", metavar="NAME", help="name of the deployment")
    @line_magic
    def undeploy(self, line: str) -> None:
        """Stop serving a deployment; its runs stay in the history."""
        from warmcell.client import Client

        Client().delete_deployment(_parse(WarmcellMagics.undeploy, line).name)

    @magic_arguments("open")
    @argument("snapshot", metavar="NAME@NUMBER", help="a deployment or pipeline, and a snapshot")
    @argument("file", nargs="?", metavar="FILE", help="the notebook; NAME@NUMBER.ipynb by default")
    @argument("--overwrite", action="store_true", help="replace the file if there is one")
    @line_magic
    def open(self, line: str) -> None:
        """Write a snapshot as a notebook, with its cells in their order: %open churn@3."""
        from warmcell.notebook.opening import open_snapshot

        given = _parse(WarmcellMagics.open, line)
        print(f"Written: {open_snapshot(given.snapshot, given.file, overwrite=given.overwrite)}")

    @magic_arguments("replay")
    @argument("run", nargs="?", metavar="RUN_ID", help="the run; in a cell, the step that waits")
    @argument("--set", nargs="+", metavar="NAME=VALUE", help="values in place of recorded ones")
    @argument("--snapshot", type=int, metavar="N", help="use another snapshot than its own")
    @argument("--until", metavar="STEP", help="execute the steps before this one")
    @argument("--hold", action="store_true", help="execute no step yet")
    @line_cell_magic
    def replay(self, line: str, cell: str | None = None) -> Any:
        """Put a run of the history into this notebook: its inputs are variables, the code is that
        of its snapshot, and the steps that succeeded are executed again, with what they do outside.

            %replay 0198f2c4-6f0e-7c5b-a9a1-3d5a3c1f4e21 --set password=my_password

        The first step that did not succeed waits, its lines in a new cell below. Such a cell runs
        with the snapshot's own names:

            %%replay score
            table.describe()

        replay.step() executes the step that waits, replay.resume() all that are left.
        """
        given = _parse(WarmcellMagics.replay, line)
        from warmcell.notebook import replay

        if cell is not None:
            return replay.by_hand(Cell.of(self._here, "replay", line, cell), given.run)
        if given.run is None:
            raise UsageError("Which run?", hint="Write %replay RUN_ID; %runs shows the ids.")
        options = {"snapshot": given.snapshot, "until": given.until, "hold": given.hold}
        values = replay.values_of(self._here, given.set or ())
        return replay.replay(self._here, given.run, values, **options)

    @verbatim
    @magic_arguments("runs")
    @argument("--limit", type=int, default=None, metavar="N", help="how many, newest first")
    @argument("--pipeline", metavar="NAME", help="only runs of this pipeline")
    @argument("--deployment", metavar="NAME", help="only runs of this deployment")
    @argument("--status", metavar="STATUS", help="succeeded, failed, running, lost, ...")
    @argument("--trigger", metavar="TRIGGER", help="call, cell, rerun, shadow, ...")
    @argument("--tag", nargs="+", metavar="TAG", help="only runs that all of these tags fit")
    @argument("--logs", nargs="+", metavar="TEXT", help="lines with this text that runs wrote")
    @argument("--views", nargs="?", const="", metavar="VIEW", help="what SQL can read, explained")
    @line_cell_magic
    def runs(self, line: str, cell: str | None = None) -> Any:
        """Show the run history; as %%runs, answer an SQL query over it with a DataFrame.

            %%runs
            SELECT pipeline, status, count(*) FROM runs GROUP BY ALL

        The tables are runs, steps, artifacts, calls, models, tags, lineage, metadata and more:
        `%runs --views` lists them, and `%runs --views runs` says what the columns of one mean.
        `FROM artifact('features')` reads an artifact that is a frame, and `FROM calls('churn')` the
        calls of a deployment with a typed column for each parameter and output.
        """
        given = {k: v for k, v in vars(_parse(WarmcellMagics.runs, line)).items() if v is not None}
        if cell is None:
            if "views" in given:
                return views_table(given["views"])
            return found_in_logs(given) if "logs" in given else history(given)
        if set(given) - {"limit"}:
            raise UsageError("%%runs takes --limit only.", hint="Filter with WHERE in the query.")
        return query(cell, **given)

    @line_magic
    def pipelines(self, line: str) -> Any:
        """List the pipelines of this notebook."""
        return pipelines_table(self._here.user_ns)

    @line_magic
    def deployments(self, line: str) -> Any:
        """List what is served from this store."""
        return deployments_table()

    @property
    def _here(self) -> InteractiveShell:
        assert self.shell is not None
        return self.shell

    # -- options: words on the line to values ---------------------------------------------------

    def _value(self, name: str, option: str) -> Any:
        return look_up(self._here.user_ns, name, option)

    def _shared(self, given: Namespace) -> dict[str, Any]:
        options: dict[str, Any] = {}
        for hook in _HOOKS:
            if name := getattr(given, hook):
                options[hook] = self._value(name, f"--{hook.replace('_', '-')}")
        if given.settings:
            options["settings"] = self._value(given.settings, "--settings")
        if given.tags:
            options["tags"] = tuple(given.tags)
        if given.cache and given.no_cache:
            raise UsageError("--cache and --no-cache say opposite things.")
        if given.cache or given.no_cache:
            options["enable_cache"] = given.cache
        if given.cache_policy:
            options["cache_policy"] = self._value(given.cache_policy, "--cache-policy")
        retry = {
            "max_retries": given.retries,
            "delay": given.retry_delay,
            "backoff": given.retry_backoff,
            "on": given.retry_on and tuple(self._value(n, "--retry-on") for n in given.retry_on),
        }
        retry = {key: value for key, value in retry.items() if value is not None}
        if retry:
            options["retry"] = Retry(**retry)
        return options

    def _step_options(self, given: Namespace) -> StepOptions:
        return StepOptions(**self._shared(given), timeout=given.timeout)

    def _pipeline_options(self, given: Namespace) -> PipelineOptions:
        options = self._shared(given)
        if settings := settings_given(given, self._here.user_ns):
            options["settings"] = settings
        for hook in ("on_init", "on_cleanup"):
            if name := getattr(given, hook):
                options[hook] = self._value(name, f"--{hook.replace('_', '-')}")
        if given.init:
            pairs = (pair.partition("=") for pair in given.init)
            options["on_init_kwargs"] = {
                key: literal(self._here.user_ns, value, f"--init {key}=") for key, _, value in pairs
            }
        if given.execution_mode:
            options["execution_mode"] = given.execution_mode
        if given.dynamic:
            options["dynamic"] = True
        return PipelineOptions(**options)


_RUN_HINT = "Write %%step score(features) -> probability --run, or call the step in its cell."


def _parse(magic: Callable[..., Any], line: str) -> Namespace:
    """Parse the options of a line; an unknown one is named with the one that was meant."""
    parser = magic.parser  # type: ignore[attr-defined]
    known = [option for action in parser._actions for option in action.option_strings]
    for word in line.split():
        option = word.partition("=")[0]
        if option.startswith("--") and option not in known:
            near = difflib.get_close_matches(option, known, 1)
            hint = f"Did you mean {near[0]}?" if near else f"It takes {', '.join(known)}."
            raise UsageError(f"%{parser.prog} has no option {option}.", hint=hint)
    try:
        given: Namespace = parse_argstring(magic, line)
    except ipython_error.UsageError as error:
        raise UsageError(f"%{parser.prog}: {error}.", hint=f"See %{parser.prog}?") from None
    return given
