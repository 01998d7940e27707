"""Replay: a run of the history in this kernel, with its inputs and its snapshot's code.

The steps that succeeded are executed again, with their side effects; the first that did not waits.
The notebook's own code is neither used nor changed.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import pydantic_core

from warmcell import output, repeating
from warmcell.answers import Difference, differences
from warmcell.errors import NotFound, RunCancelled, UsageError
from warmcell.ids import new_id
from warmcell.options import close_match
from warmcell.runner import hooks
from warmcell.runner.errorinfo import own_frames
from warmcell.runner.stepping import Held, Stepping
from warmcell.schemas import ParameterModel
from warmcell.schemas.jsonform import to_json

if TYPE_CHECKING:
    from warmcell.around.parts import Around
    from warmcell.pipelines import Pipeline
    from warmcell.runs import Run

__all__ = ["Code", "Replay"]


class Code(NamedTuple):
    """The code of a snapshot, ready to run. ``warm``: it is what this kernel serves from, with the
    state of that; else it was loaded for one replay, and ``around`` was started for it."""

    pipeline: Pipeline
    parameters: ParameterModel
    state: object
    warm: bool
    around: Around | None = None

    def close(self) -> None:
        """Let go of what was made for the replay."""
        if not self.warm:
            if self.around is not None:
                self.around.stop(self.state)
            hooks.cleanup(self.pipeline, self.state)


class Replay:
    """A run that is executed again, step by step.

    ``inputs`` are the validated arguments of the pipeline, ``replay["features"]`` is what the step
    of that name gave, ``next`` is the step that waits and ``arguments`` what it gets. :meth:`step`
    executes it, :meth:`resume` all that are left. ``status`` is "waiting" until the run has ended,
    then "succeeded", "failed", "cancelled" or "timed_out".

    ``run`` is the run as it was; ``differences`` says where the answer is another one now.
    """

    def __init__(
        self,
        run: Run,
        snapshot: int,
        code: Code,
        inputs: dict[str, Any],
        stops: Callable[[str], bool],
        bind: Callable[[str, Any, str], str] | None = None,
    ) -> None:
        self.run = run
        self.snapshot = snapshot
        self.inputs = inputs
        self.variables: dict[str, str] = {}  # of inputs and steps, by name, where they are bound
        self.warm = code.warm
        self.replaced: dict[str, Any] = {}
        self._code = code
        self._bind = bind
        self._spaces: dict[str, dict[str, Any]] = {}
        output.install()
        self._stepping = Stepping(
            code.pipeline,
            inputs,
            stops=stops,
            run_id=new_id(),
            state=code.state,
            run_name=run.name,
            deployment=run.deployment,
            snapshot=snapshot,
        )
        for name, value in inputs.items():
            self._variable(name, value, "input")
        self._begin()

    def _begin(self) -> None:
        self._stepping.start()
        self._took()

    # -- going on ------------------------------------------------------------------------------

    def step(self) -> Any:
        """Execute the next step and return what it gives; raises what it raises.

        Raises :class:`UsageError` when no step waits.
        """
        __tracebackhide__ = True  # what IPython shows begins with the code of the step
        held = self._held()
        self._stepping.go(1)
        self._took()
        ended = self._stepping.ended_steps.get(held.name)
        if ended is not None and ended.error is not None:
            raise _shortened(ended.error)
        self._check_cancelled()
        return self._stepping.values.get(held.name)

    def resume(self) -> dict[str, Any]:
        """Execute all steps that are left and return the outputs by name; raises what the run
        raises. Raises :class:`UsageError` when no step waits."""
        __tracebackhide__ = True
        self._held()
        self._stepping.go(math.inf)
        self._took()
        outcome = self._stepping.outcome
        assert outcome is not None
        self._check_cancelled()
        if outcome.exception is not None:
            raise _shortened(outcome.exception)
        return dict(outcome.outputs)

    def close(self) -> None:
        """Give up what waits, and let go of what was made for it; harmless when repeated."""
        self._stepping.stop()
        self._code_closed()

    def _took(self) -> None:
        """Steps ended: bind what they gave, and clear up after the run's end."""
        for name, value in self._stepping.values.items():
            if name not in self.variables:
                self._variable(name, value, "output")
        held = self._stepping.held
        if held is not None and self._bind is not None:
            for name, value in held.arguments.items():
                if name not in self.inputs:
                    self._bind(name, value, "input")
        if self._stepping.outcome is not None:
            self._code_closed()

    def _variable(self, name: str, value: Any, suffix: str) -> None:
        if self._bind is not None:
            self.variables[name] = self._bind(name, value, suffix)

    def _code_closed(self) -> None:
        code, self._code = self._code, self._code._replace(warm=True)
        code.close()

    def _held(self) -> Held:
        held = self._stepping.held
        if held is None:
            raise UsageError(
                f"No step of this replay waits: it has {self.status}.",
                hint=f"Begin anew: %replay {self.run.id}",
            )
        return held

    def _check_cancelled(self) -> None:
        if self.status == "cancelled":
            raise RunCancelled(f"The replay of run {self.run.id} was cancelled.")

    # -- what is known -------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """ "waiting", or how the replay ended."""
        outcome = self._stepping.outcome
        return "waiting" if outcome is None else outcome.status

    @property
    def next(self) -> str | None:
        """The step that waits; None once the run has ended."""
        held = self._stepping.held
        return None if held is None else held.name

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments of the step that waits, by name."""
        return self._held().arguments

    @property
    def state(self) -> Any:
        """What ``on_init`` made, as ``get_pipeline_context().pipeline_state`` gives it."""
        return self._stepping.state

    @property
    def error(self) -> BaseException | None:
        """What the replay raised, once it has failed."""
        outcome = self._stepping.outcome
        return None if outcome is None else outcome.exception

    @property
    def outputs(self) -> dict[str, Any]:
        """What came out, by name; empty while steps wait and after a failure."""
        outcome = self._stepping.outcome
        return {} if outcome is None else dict(outcome.outputs)

    def __getitem__(self, step: str) -> Any:
        """What a step gave."""
        values = self._stepping.values
        if step in values:
            return values[step]
        raise NotFound(
            f"No step {step!r} was executed in this replay.",
            hint=close_match(step, values) or f"Executed: {', '.join(values) or 'none yet'}.",
        )

    def __contains__(self, step: object) -> bool:
        return step in self._stepping.values

    @property
    def steps(self) -> list[dict[str, Any]]:
        """Each step with ``name``, ``status`` now, ``seconds``, what it ``was`` in the run, and the
        ``variable`` that has its output."""
        was = {step.name: step["status"] for step in self.run.steps}
        ended, waiting = self._stepping.ended_steps, self._stepping.waiting
        graph = self._stepping.pipeline.graph()
        names = dict.fromkeys([node.name for node in graph.nodes] if graph is not None else was)
        names |= dict.fromkeys([*ended, *waiting])
        found = []
        for name in names:
            now = ended.get(name)
            status = now.status if now is not None else "next" if name == self.next else "waiting"
            if now is None and self.status != "waiting":
                status = "not executed"
            found.append(
                {
                    "name": name,
                    "status": status,
                    "seconds": now.seconds if now is not None else None,
                    "was": was.get(name),
                    "variable": self.variables.get(name) if name in self else None,
                }
            )
        return found

    @property
    def differences(self) -> list[Difference]:
        """Where what came out differs from what the run gave. Empty if the run gave nothing, or
        this nothing yet. What the history only describes is not compared: see ``uncompared``."""
        if self.status != "succeeded" or self.run.status != "succeeded":
            return []
        skipped = self.uncompared
        before = {k: v for k, v in self.run.outputs.items() if k not in skipped}
        after = {k: v for k, v in self._json_outputs.items() if k not in skipped}
        return differences(before, after)

    @property
    def uncompared(self) -> list[str]:
        """Outputs that have no JSON form, or of which the history has a description only."""
        described = (k for k, v in self.run.outputs.items() if repeating.is_description(v))
        unwritten = (k for k in self.outputs if k not in self._json_outputs)
        return list(dict.fromkeys([*described, *unwritten]))

    @property
    def _json_outputs(self) -> dict[str, Any]:
        found = {}
        for name, value in self.outputs.items():
            with contextlib.suppress(ValueError):
                found[name] = pydantic_core.from_json(to_json(value))
        return found

    # -- the step that waits, by hand ------------------------------------------------------------

    @property
    def held(self) -> Held:
        """The step that waits, with its arguments. Raises :class:`UsageError` where none does."""
        return self._held()

    def context(self) -> Any:
        """What code of the step that waits sees as its context, when it is run by hand: a scope
        whose output is shown where it is run."""
        from warmcell.context import StepContext
        from warmcell.runner.cancellation import CancelToken
        from warmcell.runner.execution import Execution

        held, known = self._held(), self._stepping
        run = Execution(
            known.pipeline, known.arguments, run_id=known.run_id, token=CancelToken(),
            run_name=known.run_name, deployment=known.deployment, snapshot=known.snapshot,
            state=known.state, keep=False, echo=True,
        )  # fmt: skip
        return StepContext(run, held.step, held.name, (), held.arguments)

    def space(self) -> dict[str, Any]:
        """The names that the step that waits sees: those of its snapshot, and its arguments. The
        same dict each time, apart from the snapshot's own."""
        held = self._held()
        found = self._spaces.get(held.name)
        if found is None:
            function = inspect.unwrap(held.step.function)
            found = dict(getattr(function, "__globals__", {}))
            names = getattr(getattr(function, "__code__", None), "co_freevars", ())
            for name, cell in zip(names, getattr(function, "__closure__", None) or (), strict=True):
                with contextlib.suppress(ValueError):  # not assigned yet
                    found[name] = cell.cell_contents
            found = self._spaces[held.name] = {**found, **held.arguments}
        return found

    def __repr__(self) -> str:
        from warmcell.notebook.replayview import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from warmcell.notebook.replayview import as_html

        return as_html(self)


def _shortened(error: BaseException) -> BaseException:
    """The error from the first frame that is the user's own."""
    return error.with_traceback(own_frames(error.__traceback__))
