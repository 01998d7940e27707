"""Limits of a deployment: how much runs and waits at once, how long, and what is recorded."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from warmcell.errors import UsageError

__all__ = ["Limits", "limits_of"]


class Limits(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What a deployment may use, and what of it is recorded.

    Times are in seconds. ``timeout`` is for queue and execution together; of an asynchronous run it
    counts from its start, as nobody waits. ``queue_timeout`` and ``run_timeout`` bound either part.
    Deployments with the same ``pool`` together execute at most ``pool_size`` calls at once; where
    they name different sizes the smallest counts. ``record`` is "all", "errors", "none" or the
    fraction of the successful runs to keep; failures are kept with a fraction too. Asynchronous
    runs are always kept: their outputs are fetched from there. ``artifacts`` are rules by name of
    output (:mod:`warmcell.artifacts.policy`), ``redact`` patterns of names whose values are masked;
    with ``enable_cache`` steps take results of before; workers follow all three.
    """

    concurrency: int = 32
    max_queue: int = 256
    timeout: float = 600.0
    queue_timeout: float | None = None
    run_timeout: float | None = None
    pool: str | None = None
    pool_size: int = 1
    record: str | float = "all"
    artifacts: dict[str, str | float] | None = None
    redact: tuple[str, ...] = ()
    enable_cache: bool = False

    def __post_init__(self) -> None:
        if self.concurrency < 1 or self.max_queue < 0 or not self.timeout > 0:
            raise ValueError("concurrency >= 1, max_queue >= 0 and timeout > 0 are required")
        for seconds in (self.queue_timeout, self.run_timeout):
            if seconds is not None and not seconds > 0:
                raise ValueError("queue_timeout and run_timeout are seconds above 0")
        if self.pool_size < 1 or self.pool == "":
            raise ValueError("a pool has a name, and pool_size >= 1")
        known = self.record in ("all", "errors", "none")
        if not known and not (isinstance(self.record, float | int) and 0 <= self.record <= 1):
            raise ValueError('record is "all", "errors", "none" or a fraction from 0 to 1')

    def keeps(self, status: str) -> bool:
        """Whether a run that ended so is recorded."""
        if self.record == "all":
            return True
        if self.record == "none":
            return False
        if status != "succeeded":
            return True
        return self.record != "errors" and random.random() < float(self.record)  # noqa: S311


def limits_of(settings: dict[str, Any]) -> Limits:
    """Read the limits among a deployment's settings; other settings are not looked at here."""
    known = {name: settings[name] for name in Limits.__struct_fields__ if name in settings}
    try:
        return msgspec.convert(known, Limits)
    except msgspec.ValidationError as error:
        raise UsageError(f"A setting of the deployment does not fit: {error}.") from error
