"""The calls of one run and their keys, as far as they are known while it goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from warmcell.caching.key import Key, differences, digest_of, parts_of, whole
from warmcell.caching.policy import CachePolicy
from warmcell.caching.surroundings import variables
from warmcell.caching.taken import output_of, taken
from warmcell.caching.watching import nodes_in
from warmcell.errors import WarmcellError
from warmcell.graph import Pack, Ref
from warmcell.records import ArtifactRecord
from warmcell.runner.taking import HANDLES

if TYPE_CHECKING:
    from warmcell.graph import Node
    from warmcell.runner.execution import Execution

__all__ = ["Call", "Calls", "Pending", "Unknown"]


class Unknown(Exception):
    """A call has no key: the message says why."""


class Pending(Exception):
    """What a call takes is still being written."""


@dataclass(slots=True)
class Call:
    """A call of a step: the parts of its key, and the inputs that artifacts are in."""

    node: Node
    policy: CachePolicy
    parts: dict[str, str]
    versions: dict[str, Any]


class Calls:
    """Knows which artifact versions the steps of ``run`` gave. Any thread may ask."""

    def __init__(self, run: Execution) -> None:
        self._run = run
        self._nodes: dict[int, Node] = {}
        self._made: dict[int, dict[int, ArtifactRecord]] = {}  # by node and number of the output
        self._digests: dict[str, str] = {}  # of versions of earlier runs
        self._changed: dict[int, str] = {}  # nodes whose results a step changed, and which one

    def met(self, node: Node) -> None:
        """``node`` is about to run, or not to."""
        self._nodes[node.index] = node

    def gave(self, node: Node, number: int, record: ArtifactRecord) -> None:
        """An output of ``node`` was described, and is kept if it has a version."""
        self._made.setdefault(node.index, {})[number] = record

    def took(self, version: str, digest: str) -> None:
        """A version of an earlier run is what a step of this one gives."""
        self._digests[version] = digest

    def changed(self, index: int, step: str) -> None:
        """``step`` changed in place what the node ``index`` gave."""
        self._changed.setdefault(index, step)

    def altered(self, call: Call) -> list[str]:
        """The parts of a call that are not what they were before it: what the step itself changed.
        A step that does so is no function of what it reads."""
        told = {"file_dependencies": None, "source_dependencies": None, "cache_func": None}
        try:
            parts = self.call(call.node, call.policy.model_copy(update=told)).parts
        except Unknown as reason:
            return [f"what it reads ({reason})"]
        return [
            name
            for name in differences(parts, call.parts)
            if name.startswith(("global ", "parameter "))
        ]

    def outputs(self, node: Node) -> list[ArtifactRecord] | None:
        """The outputs of ``node``; None if they are not all kept."""
        made = self._made.get(node.index, {})
        records = [made[number] for number in sorted(made)]
        if len(records) != len(node.step.outputs):
            return None
        return None if any(record.version is None for record in records) else records

    def call(self, node: Node, policy: CachePolicy) -> Call:
        """What is known of a call before what it takes is. Raises :class:`Unknown`, and
        :class:`UsageError` where the policy cannot be followed."""
        run = self._run
        try:
            versions, values = taken(node, run.arguments)
        except TypeError as error:
            raise Unknown(f"its call does not fit: {error}") from None
        for index in (one for given in versions.values() for one in nodes_in(given)):
            self._check(index)
        ignored = policy.ignored_inputs or ()
        for name, value in values.items():
            if name not in ignored and run.redaction.covers(name, value):
                raise Unknown(f"the input `{name}` is to be masked")
        try:
            parts = parts_of(node.step, policy, values)
        except WarmcellError:
            raise
        except Exception as error:  # of the values' own code
            raise Unknown(f"what it reads cannot be hashed: {error!r}") from error
        if isinstance(parts, str):
            raise Unknown(parts)
        options = run.pipeline.options
        try:
            parts |= variables(options, node.step.options)
        except WarmcellError as error:
            raise Unknown(f"its variables are not known: {error}") from None
        if options.on_init is not None and policy.include_globals:  # its steps see what that made
            state = digest_of([options.on_init, dict(options.on_init_kwargs or {})])
            if state is None:
                raise Unknown("`on_init` can be told apart only by where it is in memory")
            parts["on_init"] = state
        return Call(node, policy, parts, versions)

    def key(self, call: Call, seconds: float) -> Key:
        """The key of a call. Waits so long for what steps before it gave to be written; raises
        :class:`Pending` then, and :class:`Unknown`."""
        ignored = call.policy.ignored_inputs or ()
        inputs = {
            name: self._identity(given, call.policy, seconds)
            for name, given in call.versions.items()
            if name not in ignored
        }
        return whole(call.parts, call.policy, inputs)

    def written(self, record: ArtifactRecord, seconds: float = 0.0) -> str:
        """The digest of an output, empty where it could not be kept. Raises :class:`Pending`."""
        version, keeper = record.version or "", self._run.keeper
        if (known := self._digests.get(version)) is not None:
            return known
        found = keeper.written(version, seconds) if keeper is not None else None
        if found is None:
            raise Pending(version)
        return (found.digest or "") if found.status == "stored" else ""

    def _check(self, index: int) -> None:
        if (changer := self._changed.get(index)) is not None:
            name = self._nodes[index].name
            raise Unknown(f"step `{changer}` changes in place what step `{name}` gave")

    def _identity(self, given: Any, policy: CachePolicy, seconds: float) -> str:
        kind = type(given)
        if kind is Pack:
            items = [self._identity(one, policy, seconds) for one in given.items]
            return f"{given.kind.__name__} {digest_of([items, list(given.keys)])}"
        if kind is Ref:
            return self._result(given, policy, seconds)
        found = _of_handle(given) if kind in HANDLES else digest_of(given)
        if found is None:
            raise Unknown("a part of an input can be told apart only by where it is in memory")
        return found

    def _result(self, given: Ref, policy: CachePolicy, seconds: float) -> str:
        node = self._nodes[given.node]
        self._check(given.node)
        made = self._made.get(given.node, {})
        number, path = output_of(given, len(node.step.outputs))
        digests = []
        for one in range(len(node.step.outputs)) if number is None else [number]:
            record = made.get(one)
            if record is None or record.version is None:
                raise Unknown(f"what step `{node.name}` returned is not kept")
            digest = self.written(record, seconds) if policy.include_artifact_values else ""
            if not digest and policy.include_artifact_ids:
                digest = record.version
            digests.append(digest)
        return ",".join(digests) + "".join(f"/{part.kind}:{part.key!r}" for part in path)


def _of_handle(given: Any) -> str | None:
    identity = getattr(given, "identity", None)
    return None if identity is None else identity()
