"""What is noted of a run beside its values: tags, metadata, and what its outputs are to get."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.ids import now
from warmcell.records import MetadataRecord, TagRecord

if TYPE_CHECKING:
    from warmcell.runner.execution import Execution
    from warmcell.tags import Tag

__all__ = ["Noted", "OutputNotes"]


@dataclass
class OutputNotes:
    """What a step said of one of its outputs, before there was a version of it."""

    tags: dict[str, Tag] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)


class Noted:
    """The tags and metadata of one run. Lists only grow; any thread may add."""

    __slots__ = ("_cascading", "_outputs", "_said", "metadata", "tags")

    def __init__(self) -> None:
        self.tags: list[TagRecord] = []
        self.metadata: list[MetadataRecord] = []
        self._outputs: dict[tuple[str, str], OutputNotes] = {}
        self._cascading: tuple[Tag, ...] = ()
        self._said: dict[str, dict[str, Any]] = {}

    @classmethod
    def of(cls, run: Execution, given: Any) -> Noted:
        """The notes of a run whose pipeline has the tags ``given``."""
        from warmcell.tags import as_tags

        noted = cls()
        tags = as_tags(given)
        noted._cascading = tuple(tag for tag in tags if tag.cascade)
        noted.tag("run", run.run_id, run.run_id, tags)
        return noted

    def output(self, step: str, name: str) -> OutputNotes:
        """What is noted of an output."""
        return self._outputs.setdefault((step, name), OutputNotes())

    def said(self, output: str) -> dict[str, Any]:
        """The metadata that a step gave its output, named as ``step.output``."""
        return dict(self._said.get(output, {}))

    def tag(
        self, kind: str, subject: str, run_id: str, tags: Iterable[Tag], *, remove: bool = False
    ) -> None:
        """Put tags on something, or take them away."""
        for tag in tags:
            self.tags.append(
                TagRecord(
                    tag.name, kind, subject, now(), tag.color, tag.exclusive, tag.cascade, remove,
                    run_id,
                )
            )  # fmt: skip

    def log(self, run: Execution, kind: str, subject: str, step: str, values: Any) -> None:
        """Log metadata about something."""
        from warmcell.metadata.values import encoded

        redaction = run.redaction
        for name, value in values.items():
            key = str(name)
            data, type_ = encoded(key, value)
            if redaction.active:
                data = redaction.json(data, key)
            self.metadata.append(
                MetadataRecord(
                    kind, subject, key, msgspec.Raw(data), type_, now(), run.run_id, step or None
                )
            )

    def kept(self, run: Execution, step: str) -> None:
        """A step succeeded and its outputs are described: pass on what was noted of them. What is
        said of an output of which no version is kept stays with the step."""
        versions = {
            artifact.name: artifact.version
            for artifact in run.artifacts
            if artifact.step == step and artifact.version is not None
        }
        for made in versions.values():
            self.tag("artifact_version", made, run.run_id, self._cascading)
        for key in [key for key in list(self._outputs) if key[0] == step]:
            notes, name = self._outputs.pop(key), key[1]
            if notes.metadata:
                self._said[f"{step}.{name}"] = notes.metadata
            kept = versions.get(name)
            if kept is None:
                self.log(run, "step", f"{run.run_id}/{step}", step, notes.metadata)
                if notes.tags:
                    said = ", ".join(notes.tags)
                    told = f"Output `{name}` of `{step}` is not kept, and so not tagged: {said}.\n"
                    run.log("log", told, step, "WARNING")
                continue
            self.tag("artifact_version", kept, run.run_id, notes.tags.values())
            self.log(run, "artifact_version", kept, step, notes.metadata)
