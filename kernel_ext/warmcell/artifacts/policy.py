"""Which outputs of steps are kept as artifacts: what a deployment or a pipeline says of it."""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from warmcell.errors import UsageError

__all__ = ["ArtifactPolicy", "Rule", "Verdict", "policy_of", "rules_of"]

Rule: TypeAlias = str | float
"""``"all"``, ``"errors"``, ``"none"``, or the fraction of the runs of which it is kept."""

Verdict: TypeAlias = Literal["always", "if it fails", "never"]

_WORDS = ("all", "errors", "none")
_RANDOM = 12  # digits at the end of a UUIDv7: they are random


class ArtifactPolicy:
    """The rules of one deployment. The first pattern that an output's name fits counts; what fits
    none is not kept."""

    __slots__ = ("_rules",)

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        self._rules = tuple(rules.items())

    def of(self, output: str, run_id: str) -> Verdict:
        """Whether the output of a step is kept. With ``"if it fails"`` only the end of the run
        tells. All outputs with the same fraction are kept of the same runs."""
        for pattern, rule in self._rules:
            if fnmatch.fnmatchcase(output, pattern):
                if isinstance(rule, float | int):
                    return "always" if _share(run_id) < rule else "never"
                return {"all": "always", "errors": "if it fails"}.get(rule, "never")  # type: ignore[return-value]
        return "never"

    @property
    def keeps_any(self) -> bool:
        """Whether there is an output that it may keep."""
        return any(rule not in ("none", 0) for _, rule in self._rules)

    def __repr__(self) -> str:
        return f"ArtifactPolicy({dict(self._rules)!r})"


def rules_of(given: Any) -> dict[str, Rule]:
    """The rules of a setting ``artifacts``: one for all outputs, one by name or pattern, or the
    names of those to keep. Raises :class:`UsageError`."""
    if isinstance(given, Mapping):
        rules = {str(name): _rule(rule) for name, rule in given.items()}
        # What is named exactly counts before a pattern, in whichever order they were written.
        return dict(sorted(rules.items(), key=lambda one: (one[0] == "*", "*" in one[0])))
    if isinstance(given, list | tuple | set | frozenset):
        for name in given:
            if not isinstance(name, str) or not name:
                raise UsageError(f"'artifacts' takes names of outputs, not {name!r}.")
        return dict.fromkeys(sorted(given), "all")
    return {"*": _rule(given)}


@functools.lru_cache(maxsize=256)
def _policy(rules: tuple[tuple[str, Rule], ...]) -> ArtifactPolicy:
    return ArtifactPolicy(dict(rules))


def policy_of(rules: Mapping[str, Rule] | None) -> ArtifactPolicy | None:
    """The policy of these rules; None without any, and where they keep nothing."""
    if not rules:
        return None
    policy = _policy(tuple(rules.items()))
    return policy if policy.keeps_any else None


def _rule(given: Any) -> Rule:
    fraction = isinstance(given, int | float) and not isinstance(given, bool) and 0 <= given <= 1
    if given in _WORDS or fraction:
        found: Rule = float(given) if fraction else given
        return found
    raise UsageError(
        f'\'artifacts\' takes "all", "errors", "none" or a fraction from 0 to 1, not {given!r}.',
        hint='Write for example artifacts="errors", or artifacts={"model": "all", "*": 0.1}.',
    )


def _share(run_id: str) -> float:
    try:
        return int(run_id[-_RANDOM:], 16) / float(1 << 4 * _RANDOM)
    except ValueError:
        return 0.0
