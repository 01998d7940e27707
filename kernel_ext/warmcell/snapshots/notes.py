"""What a user should know about a snapshot, in plain sentences that name the way out."""

from __future__ import annotations

import sys
import types
from typing import Any

from warmcell.snapshots import code as codes
from warmcell.snapshots import patches
from warmcell.snapshots.homes import (
    home_of_function,
    is_code,
)
from warmcell.snapshots.kinds import (
    Kind,
)
from warmcell.snapshots.paths import place_of
from warmcell.snapshots.pickler import Held
from warmcell.snapshots.survey import Survey

MANY_INSTANCES = 10_000
_BY_TEXT = ("eval", "exec", "globals")


def notes_of(survey: Survey, held: dict[int, Held]) -> list[str]:
    """All notes about the code of a snapshot and about carriers that could not be copied."""
    found: dict[str, None] = {}
    for function in survey.functions:
        for sentence in _about_function(function, survey):
            found[sentence] = None
    for key, refusal in held.items():
        found[_about_refusal(survey, key, refusal)] = None
    for sentence in survey.failures:
        found[sentence] = None
    for sentence in patches.about(survey):
        found[sentence] = None
    if survey.truncated:
        found[
            "The pipeline reaches more objects than can be searched: code in the rest of them "
            "stays live. Hold large data in arrays or frames."
        ] = None
    instances = sum(1 for k in survey.carriers if is_code(type(survey.objects[k])))
    if instances > MANY_INSTANCES:
        found[
            f"The pipeline holds {instances:,} instances of notebook classes: each is rebuilt at "
            "every deploy and restore. Hold them as an array or a frame."
        ] = None
    return list(found)


def _about_function(function: types.FunctionType, survey: Survey) -> list[str]:
    if home_of_function(function) != "notebook":
        return []
    name = function.__qualname__.replace(".<locals>", "")
    facts = codes.facts(function.__code__)
    space = function.__globals__
    builtin = vars(sys.modules["builtins"])
    found = []
    for stored in facts.stores:
        found.append(
            f"`{name}` writes the global `{stored}`: in the deployment it changes the snapshot's "
            "own copy, never the notebook. Keep state in `pipeline_state`, made in `on_init`."
        )
    for used in facts.loads:
        if used in space or used in builtin or used in facts.stores or used.startswith("__"):
            continue
        found.append(
            f"`{name}` uses `{used}`, which the notebook does not define now. Run the cell that "
            "defines it and deploy again."
        )
    by_text = [n for n in _BY_TEXT if n in facts.loads and n not in space]
    if by_text and not survey.extra:
        found.append(
            f"`{name}` uses `{by_text[0]}`: names that it finds only by text are not part of the "
            'snapshot. Name them at deploy: `capture=["name"]`.'
        )
    if any(
        survey.kind(space.get(n)) is Kind.SHELL or _is_shell_call(space.get(n), survey)
        for n in facts.loads
        if n in space
    ):
        found.append(
            f"`{name}` uses the shell (`!command`, `%magic` or `get_ipython()`): restored "
            "elsewhere it runs in that kernel's own shell."
        )
    return found


def _is_shell_call(value: Any, survey: Survey) -> bool:
    owner = getattr(value, "__self__", None)
    return isinstance(value, types.MethodType) and survey.kind(owner) is Kind.SHELL


def _about_refusal(survey: Survey, key: int, refusal: Held) -> str:
    place = place_of(survey, key)
    inside = _functions_below(survey, key)
    stays = f"its function `{inside}` stays live" if inside else "it stays the notebook's own"
    return (
        f"`{place.name or type(refusal.target).__name__}`"
        f"{f', used by `{place.user}`,' if place.user else ''} cannot be copied "
        f"({refusal.reason}): {stays}, and the snapshot cannot be restored elsewhere. "
        "Make it in `on_init`."
    )


def _functions_below(survey: Survey, key: int) -> str:
    pending, seen = [key], {key}
    while pending:
        for child in survey.children.get(pending.pop(), ()):
            target = survey.objects.get(child)
            if isinstance(target, types.FunctionType) and child in survey.code:
                return target.__name__
            if child not in seen and child in survey.objects:
                seen.add(child)
                pending.append(child)
    return ""


def leaks(live: dict[str, object], survey: Survey, references: list[object]) -> list[str]:
    """Walk the rebuilt roots: notebook code in there that is still the notebook's own."""
    shared = {id(r) for r in references}
    found: dict[str, None] = {}
    checked = Survey(live, namespace=survey.namespace, stop=shared)
    for key in checked.code:
        target: Any = checked.objects[key]
        if key in survey.code and key not in shared:
            kind = "module" if isinstance(target, types.ModuleType) else "code"
            found[
                f"The {kind} `{getattr(target, '__qualname__', target.__name__)}` of the notebook "
                "could not be copied and stays live."
            ] = None
    return list(found)
