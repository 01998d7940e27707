"""Reuse: which steps of one run take the results of an earlier run, and why the others do not."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.caching.calls import Call, Calls, Pending, Unknown
from warmcell.caching.entries import Ask, Entries, Entry
from warmcell.caching.key import check_policy, differences
from warmcell.caching.policy import CachePolicy, policy_of
from warmcell.caching.watching import Watched, watch
from warmcell.errors import UsageError, WarmcellError
from warmcell.ids import now
from warmcell.records import ArtifactRecord, CacheRecord
from warmcell.runner.kept import Kept

if TYPE_CHECKING:
    from warmcell.graph import Node
    from warmcell.runner.execution import Execution
    from warmcell.steps import Step

__all__ = ["DEFAULT", "Reuse", "Wish", "enabled_by_default"]

DEFAULT = "WARMCELL_ENABLE_CACHE"  # environment: "0" where nothing is reused unless it says so
WAIT_SECONDS = 60.0  # for what a step before gave to be written, whose digest is asked for

log = logging.getLogger("warmcell.caching")

_encode = msgspec.json.Encoder().encode


def enabled_by_default() -> bool:
    """Whether steps are reused that say nothing of it."""
    return os.environ.get(DEFAULT, "1").lower() not in ("0", "false", "off", "no")


@dataclass(frozen=True)
class Wish:
    """What a run was asked for. ``enable`` holds for all of its steps, whatever they say;
    ``from_step`` and all that depends on it runs again; results of the run ``resumed`` are taken
    even where caching is off."""

    enable: bool | None = None
    policy: CachePolicy | None = None
    from_step: str | None = None
    resumed: str | None = None


class Reuse:
    """Decides for the steps of ``run``. ``ask`` gets a request for the read ``cached_steps`` of the
    store and returns its answer, ``load`` the row of an artifact version and the annotation of the
    output, and returns its value. ``shared`` are the nodes whose results several others take; None
    where that is not known. Any thread may call."""

    def __init__(
        self,
        run: Execution,
        ask: Ask,
        load: Callable[[dict[str, Any], Any], Any],
        wish: Wish | None = None,
        steps: Iterable[Step] = (),
        *,
        dynamic: bool = False,
        default: bool | None = None,
        shared: Container[int] | None = None,
    ) -> None:
        self._run = run
        self._load = load
        self._wish = wish = wish or Wish()
        also = run.pipeline.name if dynamic else None  # its steps are not all known beforehand
        self._entries = Entries(ask, [step.name for step in steps], wish.resumed, also)
        self._calls = Calls(run)
        self._default = enabled_by_default() if default is None else default
        self._shared = shared
        self._begun: dict[int, Call] = {}
        self._finished: dict[int, Call] = {}
        self._again: set[int] = set()  # nodes that were to run again
        self._why: dict[int, str] = {}
        self._watched: dict[int, list[Watched]] = {}
        self._asked: dict[str, str] = {}  # steps, and what they looked up themselves
        self._lock = threading.Lock()

    # -- before a step -------------------------------------------------------------------------

    def step(self, node: Node, run_it: Callable[[], Any]) -> Kept | None:
        """What ``node`` gives without running; None where it has to run. ``run_it`` runs it after
        all, for when its results turn out to be unreadable.

        Raises :class:`UsageError` where its cache policy cannot be followed.
        """
        self._calls.met(node)
        looks, why = self._looks(node.step)
        again = self._to_run_again(node)
        wish = self._wish
        if not (looks or self._default or wish.resumed or wish.from_step):
            return None
        try:
            call = self._begun[node.index] = self._calls.call(node, self._policy(node.step))
            if again:
                raise Unknown(f"the run starts from step `{wish.from_step}`")
            entry = self._find(call, looks or wish.from_step is not None, why)
        except Unknown as reason:
            self._why[node.index] = str(reason)
            return None
        except UsageError as error:
            started = now()
            self._run.began(node, started)
            self._run.ended(node, started, error)
            raise
        except WarmcellError as error:  # the host
            log.info("Nothing is reused: %s", error)
            self._why[node.index] = f"the history did not answer: {error}"
            return None
        return self._take(call, entry, run_it)

    def why(self, index: int) -> str | None:
        """Why a step runs although it might be reused."""
        return self._why.get(index)

    def _looks(self, step: Step) -> tuple[bool, str]:
        """Whether a step may take results of before, and if not, why."""
        for said, whose in (
            (self._wish.enable, "run"),
            (step.options.enable_cache, "step"),
            (self._run.pipeline.options.enable_cache, "pipeline"),
        ):
            if said is not None:
                return said, f"caching is off for this {whose}"
        return self._default, f"caching is off where nothing is said of it ({DEFAULT})"

    def _to_run_again(self, node: Node) -> bool:
        first = self._wish.from_step
        if first is None:
            return False
        if first in (node.name, node.step.name) or not self._again.isdisjoint(node.upstream):
            self._again.add(node.index)
            return True
        return False

    def _policy(self, step: Step) -> CachePolicy:
        if step.options.cache_policy is not None:
            policy = policy_of(step.options.cache_policy)
            check_policy(step, policy)
            return policy
        given = self._wish.policy or self._run.pipeline.options.cache_policy
        policy = policy_of(given)
        if policy.ignored_inputs:  # said for all steps, of which not each has all of them
            known = [name for name in policy.ignored_inputs if name in step.inputs.parameters]
            policy = policy.model_copy(update={"ignored_inputs": known})
        return policy

    # -- looking -------------------------------------------------------------------------------

    def _find(self, call: Call, looks: bool, why: str) -> Entry:
        """The entry to take. Raises :class:`Unknown` with the reason where there is none."""
        name = call.node.step.name
        entries = self._entries.of(name) if looks or self._wish.resumed else []
        if not looks:
            entries = [one for one in entries if one.key in self._entries.of_resumed]
            if not entries:
                raise Unknown(why)
        complete = self._entries.complete(name) or not looks
        near = [one for one in entries if _fits(one.parts, call.parts)]
        if not near and complete:
            raise Unknown(_different(call.parts, entries) or self._entries.lacking(name))
        try:  # what steps before it gave has to be written before it can be compared
            key = self._calls.key(call, WAIT_SECONDS)
        except Pending:
            raise Unknown("what it takes was still being written") from None
        found = self._entries.find(name, key.digest) if looks else None
        found = found or next((one for one in entries if one.key == key.digest), None)
        if found is None:
            raise Unknown(_different(key.parts, entries) or self._entries.lacking(name))
        self._check(found, call.policy)
        return found

    def _check(self, entry: Entry, policy: CachePolicy) -> None:
        time, until = now() / 1e6, entry.expires_at
        if policy.expires_after is not None:
            mine = entry.created_at + policy.expires_after
            until = mine if until is None else min(until, mine)
        if until is not None and time >= until and entry.key not in self._entries.of_resumed:
            raise Unknown(f"the results of run {entry.run_id} are {time - until:.0f} s too old")
        if None in entry.digests.values():
            raise Unknown(f"the results of run {entry.run_id} are not there any more")

    # -- taking --------------------------------------------------------------------------------

    def _take(self, call: Call, entry: Entry, run_it: Callable[[], Any]) -> Kept:
        node, started = call.node, now()
        self._run.began(node, started)
        records = []
        for number, known in enumerate(entry.outputs):
            record = msgspec.structs.replace(known, step=node.name)
            records.append(record)
            self._calls.gave(node, number, record)
        for version, digest in entry.digests.items():
            self._calls.took(version, digest or "")
        self._begun.pop(node.index, None)
        self._run.reused(node, started, entry.run_id, records)
        return Kept(partial(self._loaded, call, entry, run_it))

    def _loaded(self, call: Call, entry: Entry, run_it: Callable[[], Any]) -> Any:
        node, outputs = call.node, call.node.step.outputs
        try:
            values = [
                self._load(entry.versions[str(record.version)], output.annotation)
                for record, output in zip(entry.outputs, outputs, strict=True)
            ]
        except Exception as error:  # damaged, not trusted, or the values' own code
            self._entries.drop(entry)
            said = f"What run {entry.run_id} gave cannot be read, so `{node.name}` runs: {error}"
            self._run.log("log", f"{said}\n", node.name, "WARNING")
            self._why[node.index] = f"the results of run {entry.run_id} cannot be read"
            self._begun[node.index] = call  # what it gives now takes their place
            return run_it()
        if len(outputs) == 1:
            return values[0]
        return tuple(values) if values else None

    # -- keeping -------------------------------------------------------------------------------

    def gave(self, node: Node, number: int, record: ArtifactRecord) -> None:
        """An output of a step that ran was described, and is kept if it has a version."""
        self._calls.gave(node, number, record)

    def given(self, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """``node`` runs now, with these values: it may change what other steps take too."""
        self._asked.pop(node.name, None)  # for what it is given, which its key has
        if found := watch(node, args, kwargs, self._shared):
            self._watched[node.index] = found

    def asked(self, step: str, what: str) -> None:
        """A step that runs asked what a name means now, in words: no part of its key."""
        self._asked.setdefault(step, what)

    def succeeded(self, node: Node) -> None:
        """A step that ran has ended well, and all of its outputs are described."""
        call = self._begun.pop(node.index, None)
        changed = [one for one in self._watched.pop(node.index, ()) if one.changed()]
        for one in changed:  # neither this step nor another that takes it has a key now
            self._calls.changed(one.node, node.name)
        if call is None or self._calls.outputs(node) is None:
            return
        names = [f"input {one.name}" for one in changed] or self._calls.altered(call)
        why = f"it changes {', '.join(names)} in place" if names else ""
        if (what := self._asked.pop(node.name, None)) is not None:
            why = f"it looks up {what}"
        if why:
            why = f"{why}, so its results are not taken again"
            known = self._why.get(node.index)
            self._why[node.index] = why if known is None else f"{known}; {why}"
            return
        with self._lock:
            self._finished[node.index] = call

    def take(self) -> list[CacheRecord]:
        """What can be reused from now on: steps that ended since the last call, or whose outputs
        were written since."""
        records = []
        with self._lock:
            for index, call in list(self._finished.items()):
                try:
                    record = self._record(call)
                except Pending:
                    continue
                except Unknown as reason:
                    log.debug("`%s` has no key: %s", call.node.name, reason)
                    record = None
                del self._finished[index]
                if record is not None:
                    records.append(record)
        return records

    def _record(self, call: Call) -> CacheRecord | None:
        outputs = self._calls.outputs(call.node) or []
        if not all(self._calls.written(record) for record in outputs):
            return None  # one could not be kept
        key = self._calls.key(call, 0.0)
        time, lasts = now(), call.policy.expires_after
        described = [msgspec.structs.replace(record, value=None) for record in outputs]
        return CacheRecord(
            key.digest, self._run.run_id, call.node.step.name, self._run.pipeline.name,
            [str(record.version) for record in outputs], msgspec.Raw(_encode(described)),
            key.parts, time, None if lasts is None else time + round(lasts * 1e6),
        )  # fmt: skip


def _fits(parts: dict[str, str], known: dict[str, str]) -> bool:
    """Whether an entry has all parts that are known of a call, and no more than its inputs."""
    return all(
        known.get(name) == digest for name, digest in parts.items() if name[:6] != "input "
    ) and all(name in parts for name in known)


def _different(parts: dict[str, str], entries: list[Entry]) -> str:
    """Why none of ``entries`` fits; empty where there is none."""
    if not entries:
        return ""
    inputs = any(name[:6] == "input " for name in parts)
    found: list[tuple[int, list[str], Entry]] = []
    for entry in entries:
        names = differences(parts, entry.parts)
        if not inputs:  # they are not known yet
            names = [name for name in names if name[:6] != "input "]
        found.append((len(names), names, entry))
    _, names, entry = min(found, key=lambda one: one[0])
    shown = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    verb = "is" if len(names) == 1 else "are"
    return f"{shown or 'something'} {verb} not as in run {entry.run_id}"
