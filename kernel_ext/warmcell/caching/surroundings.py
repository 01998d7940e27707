"""The variables of a step as parts of its key: what ``environment`` and ``secrets`` say.

The digests are made with this user's own key, as those of secrets could be guessed otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from warmcell.secrets import variables_of
from warmcell.snapshots.trust import sign

if TYPE_CHECKING:
    from warmcell.options import PipelineOptions, StepOptions

__all__ = ["variables"]

_PURPOSE = b"warmcell cache variables\n"  # no statement that anything else signs begins so
_encode = msgspec.json.Encoder(order="sorted").encode


def variables(*owners: PipelineOptions | StepOptions) -> dict[str, str]:
    """The parts that the variables of a step are, of the options of its pipeline and its own: each
    of the environment, and each named secret with all its values.

    Raises :class:`~warmcell.errors.NotFound` for a secret that there is not, and
    :class:`~warmcell.errors.SnapshotError` where this user's key cannot be read.
    """
    environment: dict[str, str] = {}
    for options in owners:
        environment.update(options.environment or {})
    parts = {f"environment {name}": _digest(name, value) for name, value in environment.items()}
    for name in (name for options in owners for name in options.secrets):
        parts[f"secret {name}"] = _digest(name, variables_of(name))
    return parts


def _digest(name: str, value: str | dict[str, str]) -> str:
    return sign(_PURPOSE + _encode([name, value]))
