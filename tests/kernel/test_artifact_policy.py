"""Which outputs of steps a policy keeps."""

from __future__ import annotations

from typing import Any

import pytest

from warmcell import DeploymentSettings
from warmcell.artifacts.policy import policy_of, rules_of
from warmcell.errors import UsageError
from warmcell.ids import new_id

RUN = "01980000-0000-7000-8000-800000000000"  # the share of its random end is a half


@pytest.mark.parametrize(
    ("given", "output", "verdict"),
    [
        ("all", "model", "always"),
        ("errors", "model", "if it fails"),
        (0.6, "model", "always"),
        (0.4, "model", "never"),
        (["model"], "model", "always"),
        (["model"], "table", "never"),
        ({"*": "all", "table": "none"}, "table", "never"),
        ({"*": "none", "tab*": "errors"}, "table", "if it fails"),
        ({"tab*": "errors", "table": 1}, "table", "always"),
        ({"model": "all"}, "table", "never"),
    ],
)
def test_the_most_exact_rule_counts(given: Any, output: str, verdict: str) -> None:
    """For all, by name or pattern, or the names of those to keep."""
    policy = policy_of(rules_of(given))
    assert policy is not None
    assert policy.of(output, RUN) == verdict


def test_a_fraction_is_of_runs() -> None:
    """About so many runs, and of one run all of its outputs or none."""
    policy = policy_of(rules_of(0.25))
    assert policy is not None
    runs = [new_id() for _ in range(2000)]
    kept = [run for run in runs if policy.of("a", run) == "always"]
    assert 350 < len(kept) < 650
    assert all(policy.of("b", run) == "always" for run in kept)


@pytest.mark.parametrize("given", ["none", 0, {}, [], {"a": "none"}, None])
def test_what_keeps_nothing_is_no_policy(given: Any) -> None:
    """So that a served call does nothing for it."""
    assert policy_of(None if given is None else rules_of(given)) is None


@pytest.mark.parametrize("given", ["some", 1.5, True, {"a": "some"}, [""]])
def test_a_rule_that_is_none_is_refused(given: Any) -> None:
    """Where the settings are written."""
    with pytest.raises(UsageError, match="'artifacts'"):
        DeploymentSettings(artifacts=given)
