"""Traffic: which of several snapshots answers a call, and when a newcomer has to go.

A pure policy: it starts nothing and stores nothing. The dispatcher asks it where a call goes and
tells it how each one ended; whoever changes it keeps its :meth:`Traffic.stored` form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import xxhash

from warmcell.errors import UsageError
from warmcell.ids import now, rfc3339
from warmcell_server.bounds import Bounds
from warmcell_server.shadow import Shadow
from warmcell_server.window import Window

__all__ = ["Aborted", "Traffic"]

_LEVEL = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[msgspec.Raw])


class Aborted(msgspec.Struct, frozen=True):
    """A split that broke its bounds: which snapshot did, why, when (microseconds, UTC), and the
    weights until then."""

    snapshot: int
    cause: str
    at: int
    weights: dict[int, float]


class _Stored(msgspec.Struct, frozen=True, omit_defaults=True):
    weights: dict[int, float]
    since: int
    by: str | None = None
    abort_if: Bounds | None = None
    shadows: dict[int, float] = {}
    aborted: Aborted | None = None


class Traffic:
    """How the calls of the deployment ``name`` are shared among its snapshots.

    ``main`` is the snapshot that everything goes back to; the others are newcomers. ``weights``
    are shares that sum to 1; a share of 0 is held warm and not served. ``by`` is a dotted path into
    the parameters: calls with the same value there go to the same snapshot. ``shadows`` are shares
    of the calls that a snapshot executes too, its answers unseen. Belongs to the host's event loop.
    """

    def __init__(
        self,
        name: str,
        main: int,
        weights: Mapping[int, float],
        *,
        by: str | None = None,
        abort_if: Bounds | None = None,
        shadows: Mapping[int, float] | None = None,
        since: int | None = None,
        aborted: Aborted | None = None,
    ) -> None:
        self.name = name
        self.main = main
        self.by = by
        self.abort_if = abort_if
        self.since = now() if since is None else since
        self.aborted = aborted
        self.shadowed = {number: Shadow(share) for number, share in (shadows or {}).items()}
        self.windows: dict[int, Window] = {}
        self._path = by.split(".") if by else []
        self._share(weights)

    def _share(self, weights: Mapping[int, float]) -> None:
        self.weights = dict(sorted(({self.main: 0.0} | dict(weights)).items()))
        for number in self.weights:
            self.windows.setdefault(number, Window())
        # By number, so that a newcomer whose share grows keeps the keys that it has: the shares of
        # the older ones shrink towards 0, and its own grows from 1 downwards.
        self._ends: list[tuple[float, int]] = []
        end = 0.0
        for number, weight in self.weights.items():
            if weight > 0:
                end += weight
                self._ends.append((end, number))

    @property
    def snapshots(self) -> frozenset[int]:
        """Every snapshot that has to be held warm, the main one and the shadows among them."""
        return frozenset((*self.weights, *self.shadowed))

    @property
    def newcomers(self) -> list[int]:
        """The snapshots beside the main one that share in the answers, or wait to."""
        return [number for number in self.weights if number != self.main]

    @property
    def plain(self) -> bool:
        """Whether the main snapshot answers everything, and no other takes part."""
        return not self.newcomers and not self.shadowed

    # -- where a call goes -------------------------------------------------------------------

    def choose(self, run_id: str, parameters: bytes) -> int:
        """The snapshot that a call belongs to. One whose parameters have nothing at ``by``, or are
        no JSON, goes by its run id."""
        if len(self._ends) == 1:
            return self._ends[0][1]
        key = run_id.encode()
        if self._path:
            found = _value_at(self._path, parameters)
            key = key if found is None else found
        place = _place(self.name.encode(), key)
        for end, number in self._ends:
            if place < end:
                return number
        return self._ends[-1][1]  # sums of shares may end just below 1

    def shadows(self, run_id: str) -> list[int]:
        """The snapshots that execute a call too; each has to hear of the end, by
        :meth:`Shadow.ended`. One that has its hands full is not among them: that is counted."""
        return [
            number
            for number, shadow in self.shadowed.items()
            if _place(b"shadow", run_id.encode()) < shadow.fraction and shadow.begin()
        ]

    # -- how it went -------------------------------------------------------------------------

    def ended(self, snapshot: int, status: str, seconds: float) -> str | None:
        """A call that :meth:`choose` had sent to ``snapshot`` ended after ``seconds`` of execution.

        Returns why the newcomers have just lost their share, once, where a bound was broken by
        this: from here on :meth:`choose` says the main snapshot.
        """
        window = self.windows.get(snapshot)
        if window is None:
            return None
        window.add(status, seconds)
        if self.abort_if is None or snapshot == self.main or not self.weights.get(snapshot):
            return None
        cause = self.abort_if.broken(snapshot, window)
        if cause is not None:
            self.aborted = Aborted(snapshot, cause, now(), dict(self.weights))
            self._share({self.main: 1.0})
        return cause

    # -- changes -----------------------------------------------------------------------------

    def beside(self, snapshot: int, share: float) -> dict[int, float]:
        """The weights once ``snapshot`` has ``share`` of the calls: the others keep their
        proportions in what is left."""
        others = {number: w for number, w in self.weights.items() if number != snapshot}
        whole = sum(others.values())
        if whole <= 0:  # it had everything
            others, whole = {**others, self.main: 1.0}, 1.0
        if snapshot == self.main:
            raise UsageError(
                f"What was deployed is snapshot {snapshot}, which '{self.name}' serves already: "
                "there is no newcomer.",
                hint="Change a cell first, or deploy without `traffic`.",
            )
        return {n: w * (1 - share) / whole for n, w in others.items()} | {snapshot: share}

    def shared(
        self, weights: Mapping[int, float], *, by: str | None, abort_if: Bounds | None
    ) -> Traffic:
        """The same with other shares; who answers calls now is no shadow any more."""
        fractions = {n: s.fraction for n, s in self.shadowed.items() if not weights.get(n)}
        return Traffic(self.name, self.main, weights, by=by, abort_if=abort_if, shadows=fractions)

    def shadowing(self, snapshot: int, fraction: float) -> Traffic:
        """The same with another shadow; without it where ``fraction`` is 0."""
        fractions = {n: s.fraction for n, s in self.shadowed.items()} | {snapshot: fraction}
        return Traffic(
            self.name,
            self.main,
            self.weights,
            by=self.by,
            abort_if=self.abort_if,
            shadows={n: share for n, share in fractions.items() if share},
            aborted=self.aborted,
        )

    def follow(self, before: Traffic | None) -> None:
        """Go on with the figures of ``before``, which this replaces. After an abort, and for
        another main snapshot, they begin anew: what broke a bound once would at once again."""
        if before is None or before.aborted is not None or before.main != self.main:
            return
        for number in self.windows:
            self.windows[number] = before.windows.get(number, self.windows[number])
        for number, shadow in self.shadowed.items():
            if (earlier := before.shadowed.get(number)) is not None:
                earlier.fraction = shadow.fraction
                self.shadowed[number] = earlier  # with what it has in flight

    # -- kept and shown ----------------------------------------------------------------------

    def stored(self) -> msgspec.Raw:
        """What a restart needs; figures begin anew."""
        kept = _Stored(
            self.weights,
            self.since,
            self.by,
            self.abort_if,
            {number: shadow.fraction for number, shadow in self.shadowed.items()},
            self.aborted,
        )
        return msgspec.Raw(msgspec.json.encode(kept))

    @classmethod
    def load(cls, name: str, main: int, stored: object) -> Traffic:
        """Read what :meth:`stored` gave, as bytes or decoded."""
        if isinstance(stored, bytes | str | msgspec.Raw):
            kept = msgspec.json.decode(stored, type=_Stored)
        else:
            kept = msgspec.convert(stored, _Stored, strict=False)
        return cls(
            name,
            main,
            kept.weights,
            by=kept.by,
            abort_if=kept.abort_if,
            shadows=kept.shadows,
            since=kept.since,
            aborted=kept.aborted,
        )

    def describe(self) -> dict[str, Any]:
        """The traffic as the control plane shows it."""
        gone = self.aborted
        return {
            "main": self.main,
            "by": self.by,
            "abort_if": None if self.abort_if is None else self.abort_if.describe(),
            "since": rfc3339(self.since),
            "snapshots": [
                {
                    "snapshot": number,
                    "weight": self.weights.get(number, 0.0),
                    "runs": window.runs.total(),
                    "errors": window.errors,
                    "error_rate": window.error_rate,
                    "p95": window.p95,
                }
                for number, window in sorted(self.windows.items())
            ],
            "shadows": [
                {"snapshot": number, **shadow.describe()}
                for number, shadow in sorted(self.shadowed.items())
            ],
            "aborted": None
            if gone is None
            else {
                "snapshot": gone.snapshot,
                "cause": gone.cause,
                "at": rfc3339(gone.at),
                "weights": {str(number): weight for number, weight in gone.weights.items()},
            },
        }


# -- keys ----------------------------------------------------------------------------------------


def _place(salt: bytes, key: bytes) -> float:
    """Where a key is in [0, 1)."""
    # 53 bits are what a float has; 64 could be rounded up to 1.
    return (xxhash.xxh3_64_intdigest(salt + b"\0" + key) >> 11) / (1 << 53)


def _value_at(path: list[str], parameters: bytes) -> bytes | None:
    """The value at ``path`` as canonical JSON; None where there is none, or null. What is beside
    the path is not decoded."""
    found: bytes | msgspec.Raw = parameters
    try:
        for part in path:
            level = _LEVEL.decode(found)
            found = level[int(part)] if isinstance(level, list) else level[part]
        value = msgspec.json.decode(found)
    except (msgspec.DecodeError, KeyError, ValueError, IndexError):
        return None
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # 7.0 and 7 are one number in JSON
    return msgspec.json.encode(value, order="sorted")
