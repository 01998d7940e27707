"""Releasing: a newcomer beside the snapshot that is served, and what its callers got."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, Self

from warmcell.changes import Table
from warmcell.errors import UsageError

__all__ = ["Released", "Traffic"]

WARM_SECONDS = 300.0  # a snapshot that is not warm is restored in a kernel of its own


class Traffic(Table):
    """How the calls of a deployment are shared among snapshots, when this was made.

    False while one snapshot answers everything and no other executes a call beside it.
    """

    columns = ("snapshot", "share", "calls", "errors", "p95", "")

    def __init__(self, name: str, snapshot: int, found: Mapping[str, Any] | None) -> None:
        self._found = dict(found or {})
        self.name = name
        self.main = snapshot
        """Number of the snapshot that everything goes back to."""
        self.by: str | None = self._found.get("by")
        """What keeps a caller with one snapshot: a path into the parameters."""
        self.abort_if: dict[str, Any] | None = self._found.get("abort_if")
        self.snapshots: list[dict[str, Any]] = self._found.get("snapshots") or []
        """Each with ``snapshot``, ``weight``, ``runs``, and of its newest 200 calls ``errors``,
        ``error_rate`` and ``p95`` (seconds)."""
        self.shadows: list[dict[str, Any]] = self._found.get("shadows") or []
        """Each with ``snapshot``, ``fraction``, and how many calls were answered the ``same``,
        ``different``, ``failed``, or were ``dropped``."""
        self.aborted: dict[str, Any] | None = self._found.get("aborted")
        """Why and when the last split was aborted, if it was."""

    @property
    def weights(self) -> dict[int, float]:
        """The share of each snapshot."""
        found = {one["snapshot"]: one["weight"] for one in self.snapshots}
        return found or {self.main: 1.0}

    @property
    def shared(self) -> bool:
        """Whether another snapshot than the main one answers calls."""
        return any(weight and number != self.main for number, weight in self.weights.items())

    def __bool__(self) -> bool:
        return bool(self.shadows) or self.shared

    def to_json(self) -> dict[str, Any]:
        """All of it, as the control plane answers it; empty where nothing is shared."""
        return dict(self._found)

    def title(self) -> str:
        said = f"{self.name}: {self._said()}"
        return f"{said} {self._limits()}" if self.shared and self.abort_if is not None else said

    def _said(self) -> str:
        if self.aborted is not None:
            back = f"snapshot {self.main} answers everything again."
            return f"the split was aborted, {back} {self.aborted['cause']}"
        if not self.shared:
            return f"snapshot {self.main} answers everything."
        how = f"callers stay with their snapshot by {self.by}." if self.by else "call by call."
        return f"calls are shared, {how}"

    def _limits(self) -> str:
        assert self.abort_if is not None
        bounds = []
        if self.abort_if.get("error_rate") is not None:
            bounds.append(f"more than {self.abort_if['error_rate']:.1%} errors")
        if self.abort_if.get("p95") is not None:
            bounds.append(f"a p95 above {self.abort_if['p95']:g} s")
        return f"Aborts on {' or '.join(bounds)}, after {self.abort_if['min_runs']} calls."

    def rows(self) -> list[list[Any]]:
        rows = [
            [
                one["snapshot"],
                f"{one['weight']:.1%}",
                one["runs"],
                None if one["error_rate"] is None else f"{one['error_rate']:.1%}",
                None if one["p95"] is None else _seconds(one["p95"]),
                "main" if one["snapshot"] == self.main else None,
            ]
            for one in self.snapshots
        ]
        for one in self.shadows:
            counts = (f"{one[what]} {what}" for what in ("same", "different", "failed", "dropped"))
            share = f"shadow of {one['fraction']:.1%}"
            rows.append([one["snapshot"], share, one["runs"], None, None, ", ".join(counts)])
        return rows


def _seconds(found: float) -> str:
    return f"{found:.3g} s" if found >= 1 else f"{1000 * found:.3g} ms"


class Released(ABC):
    """What the owner of a deployment does to bring a newcomer in, and to take it out again."""

    @property
    def traffic(self) -> Traffic:
        """How the calls are shared among snapshots now, with error rates and latencies."""
        described = self._refreshed()
        return Traffic(described["name"], described["snapshot"], described.get("traffic"))

    def split(
        self,
        weights: Mapping[int, float],
        *,
        by: str | None = None,
        abort_if: Mapping[str, float] | None = None,
    ) -> Self:
        """Share the calls among snapshots: ``split({3: 0.9, 4: 0.1}, by="customer_id")``.

        A snapshot that is not warm any more is restored first, which takes as long as the start of
        a kernel.

        Args:
            weights: shares by the number of the snapshot; they sum to 1.
            by: path of the value that keeps a caller with one snapshot, such as
                ``"customer.id"``. Calls that have none, and all without it, go by chance. A key
                that is with a newcomer stays with it when its share grows.
            abort_if: bounds of a newcomer: ``error_rate`` (failed, timed out or lost) and ``p95``
                (seconds) of its newest 200 calls, looked at after ``min_runs`` (20). Out of bounds,
                the served snapshot answers everything again, at once.

        Raises:
            UsageError: a weight, path or bound that does not fit.
            NotFound: no such snapshot.
            SnapshotError: one that cannot be made warm.
        """
        for name, given, example in (
            ("weights", weights, "{3: 0.9, 4: 0.1}"),
            ("abort_if", abort_if or {}, '{"error_rate": 0.05, "p95": 0.8}'),
        ):
            if not isinstance(given, Mapping):
                raise UsageError(f"{name} is {given!r}, no dict.", hint=f"Write {name}={example}.")
        body: dict[str, Any] = {"weights": {str(n): share for n, share in weights.items()}}
        body |= {"by": by, "abort_if": None if abort_if is None else dict(abort_if)}
        return self._release("/split", body)

    def shadow(self, snapshot: int, fraction: float = 1.0) -> Self:
        """Have ``snapshot`` execute ``fraction`` of the calls too. Those runs are recorded with the
        trigger "shadow" and ``origin``, the real run; their answers are compared, and nobody gets
        them. Its steps really run: what they write, they write twice. 0 ends it.
        """
        return self._release("/shadow", {"snapshot": snapshot, "fraction": fraction})

    def promote(self, snapshot: int | None = None) -> Self:
        """Have a newcomer, the only one by default, answer everything from now on."""
        return self._release("/promote", {"snapshot": snapshot})

    def abort(self) -> Self:
        """Have the served snapshot answer everything again, and end all shadows."""
        return self._release("/abort", {})

    @abstractmethod
    def _refreshed(self) -> Mapping[str, Any]:
        """The deployment as its host describes it now."""

    @abstractmethod
    def _release(self, action: str, body: Mapping[str, Any]) -> Self:
        """Have the host do ``action``."""
