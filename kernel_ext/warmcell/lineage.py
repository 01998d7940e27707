"""Lineage: what something came from and what was made of it, as a graph that shows itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["Lineage", "LineageNode", "Origin"]

_KINDS = {
    "artifact_version": "artifacts", "step": "steps", "run": "runs", "snapshot": "snapshots",
    "deployment": "deployments", "model_version": "models",
}  # fmt: skip


class LineageNode(Mapping[str, Any]):
    """A node, as a mapping and by attributes: ``id``, ``kind`` (artifact_version, step, run,
    snapshot, deployment or model_version), ``key``, ``label``, ``detail``, ``status``, ``time``,
    ``run_id``, and what its kind has, such as ``artifact`` and ``version``."""

    def __init__(self, described: Mapping[str, Any]) -> None:
        self._described = dict(described)

    def __getitem__(self, key: str) -> Any:
        return self._described[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._described)

    def __len__(self) -> int:
        return len(self._described)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_described"][name]
        except KeyError:
            raise AttributeError(f"A node of lineage has no {name!r}.") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LineageNode) and other["id"] == self["id"]

    def __hash__(self) -> int:
        return hash(self["id"])

    def __repr__(self) -> str:
        return f"<{self['kind'].replace('_', ' ')} {self['label']}>"


class Lineage:
    """A graph around one thing, or around the steps of a run.

    ``nodes`` are :class:`LineageNode` objects, ``edges`` dicts with ``source`` and ``target`` (ids
    of nodes), ``relation`` ("input", "output", "cached", "executed", "held", "linked", "served")
    and ``name``; ``runs`` describes the runs by id; ``truncated`` says that there is more than was
    asked for. Shown in a notebook, it draws itself.
    """

    def __init__(self, found: Mapping[str, Any]) -> None:
        self._found = dict(found)
        self.nodes = [LineageNode(node) for node in found["nodes"]]
        self.edges: list[dict[str, Any]] = list(found["edges"])
        self.runs: dict[str, dict[str, Any]] = dict(found["runs"])
        self.truncated = bool(found["truncated"])
        self._known = {node.id: node for node in self.nodes}

    @property
    def roots(self) -> list[LineageNode]:
        """What was asked for."""
        return [self._known[identifier] for identifier in self._found["roots"]]

    @property
    def artifacts(self) -> list[LineageNode]:
        """The artifact versions."""
        return self._of("artifact_version")

    @property
    def steps(self) -> list[LineageNode]:
        """The step runs."""
        return self._of("step")

    @property
    def snapshots(self) -> list[LineageNode]:
        """The snapshots."""
        return self._of("snapshot")

    @property
    def models(self) -> list[LineageNode]:
        """The model versions."""
        return self._of("model_version")

    @property
    def deployments(self) -> list[LineageNode]:
        """The deployments."""
        return self._of("deployment")

    def sources(self, node: LineageNode | str) -> list[LineageNode]:
        """What leads to a node (or to the one with that id) directly."""
        return self._ends(node, "target", "source")

    def targets(self, node: LineageNode | str) -> list[LineageNode]:
        """What a node (or the one with that id) leads to directly."""
        return self._ends(node, "source", "target")

    def to_json(self) -> dict[str, Any]:
        """All of it, as the control plane answers it."""
        return dict(self._found)

    def to_frame(self) -> Any:
        """The edges as a pandas DataFrame, with the labels of their ends."""
        import pandas

        rows = [
            [self._known[edge["source"]].kind, self._known[edge["source"]].label,
             edge["relation"], edge["name"],
             self._known[edge["target"]].kind, self._known[edge["target"]].label]
            for edge in self.edges
        ]  # fmt: skip
        columns = ["source_kind", "source", "relation", "name", "target_kind", "target"]
        return pandas.DataFrame(rows, columns=columns)

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        counts = [f"{len(found)} {words}" for k, words in _KINDS.items() if (found := self._of(k))]
        more = ", and more" if self.truncated else ""
        of = ", ".join(root.label for root in self.roots)
        return f"<lineage of {of}: {', '.join(counts)}{more}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        try:
            from warmcell_widgets.lineage import lineage_html, lineage_text
        except ImportError:
            return {"text/plain": repr(self)}
        return {"text/plain": lineage_text(self._found), "text/html": lineage_html(self._found)}

    def _of(self, kind: str) -> list[LineageNode]:
        return [node for node in self.nodes if node.kind == kind]

    def _ends(self, node: LineageNode | str, here: str, there: str) -> list[LineageNode]:
        wanted = node if isinstance(node, str) else node.id
        found = dict.fromkeys(edge[there] for edge in self.edges if edge[here] == wanted)
        return [self._known[identifier] for identifier in found]


class Origin:
    """Where an artifact version comes from: ``run`` (with its ``parameters``), ``step`` (with where
    its ``inputs`` came from) and ``snapshot`` as dicts, None where they are not known; ``code``, a
    list of dicts with ``name``, ``kind``, ``source`` and ``cell``; ``inputs``, the versions that
    its step took."""

    def __init__(self, found: Mapping[str, Any]) -> None:
        self._found = dict(found)
        self.version: dict[str, Any] = found["version"]
        self.run: dict[str, Any] | None = found["run"]
        self.step: dict[str, Any] | None = found["step"]
        self.snapshot: dict[str, Any] | None = found["snapshot"]
        self.code: list[dict[str, Any]] = found["code"]
        self.inputs: list[dict[str, Any]] = found["inputs"]

    @property
    def parameters(self) -> dict[str, Any]:
        """What the pipeline was called with."""
        return dict((self.run or {}).get("parameters") or {})

    @property
    def source(self) -> str | None:
        """The source of the step that made it, as it was then."""
        if self.step is None:
            return None
        name = self.step["step"]
        steps = [part for part in self.code if part["kind"] == "step"]
        # one that is called twice in a run is `name` and `name_2`
        names = (name, name.rpartition("_")[0])
        found = (part["source"] for wanted in names for part in steps if part["name"] == wanted)
        return next(found, None)

    def to_json(self) -> dict[str, Any]:
        """All of it, as the control plane answers it."""
        return dict(self._found)

    def __repr__(self) -> str:
        version = f"{self.version['artifact']} version {self.version['version']}"
        if self.run is None:
            return f"<origin of {version}: no run that is known>"
        step = f"step {self.step['step']}, " if self.step else ""
        snapshot = f", snapshot {self.snapshot['number']}" if self.snapshot else ""
        return f"<origin of {version}: {step}run {self.run['run_id']} of " + (
            f"{self.run['pipeline']}{snapshot}>"
        )
