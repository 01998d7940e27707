"""The records as they are read back from JSON.

msgspec decodes an optional ``Raw`` as null only. In these subclasses such a field is a plain
``Raw``, empty where it is absent; nothing else differs.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from warmcell.records import (
    ArtifactRecord,
    AuditRecord,
    CacheRecord,
    CodeRecord,
    DeliveryEntry,
    DeploymentRecord,
    DetailEntry,
    LogRecord,
    MetadataRecord,
    RunRecord,
    SnapshotRecord,
    StepRecord,
    TagRecord,
    UseRecord,
    VersionRecord,
)

__all__ = [
    "SpooledAuditEntry",
    "SpooledDeployment",
    "SpooledDetail",
    "SpooledEntry",
    "SpooledRunEntry",
    "SpooledSnapshot",
    "SpooledSnapshotEntry",
    "SpooledVersion",
]

NOTHING = msgspec.Raw()


class SpooledRun(RunRecord):
    parameters: msgspec.Raw = NOTHING
    outputs: msgspec.Raw = NOTHING


class SpooledArtifact(ArtifactRecord):
    value: msgspec.Raw = NOTHING


class SpooledVersion(VersionRecord):
    value: msgspec.Raw = NOTHING


class SpooledDetail(msgspec.Struct):
    steps: list[StepRecord] = []
    artifacts: list[SpooledArtifact] = []
    logs: list[LogRecord] = []
    versions: list[SpooledVersion] = []
    uses: list[UseRecord] = []
    metadata: list[MetadataRecord] = []
    tags: list[TagRecord] = []
    cache: list[CacheRecord] = []
    code: list[CodeRecord] = []


class SpooledSnapshot(SnapshotRecord):
    held: msgspec.Raw = NOTHING
    environment: msgspec.Raw = NOTHING
    settings: msgspec.Raw = NOTHING
    manifest: msgspec.Raw = NOTHING


class SpooledDeployment(DeploymentRecord):
    settings: msgspec.Raw = NOTHING
    traffic: msgspec.Raw = NOTHING
    endpoints: msgspec.Raw = NOTHING


class SpooledRunEntry(msgspec.Struct, tag_field="entry", tag="run"):
    run: SpooledRun
    detail: msgspec.Raw = NOTHING


class SpooledSnapshotEntry(msgspec.Struct, tag_field="entry", tag="snapshot"):
    snapshot: SpooledSnapshot


class SpooledDeploymentEntry(msgspec.Struct, tag_field="entry", tag="deployment"):
    deployment: SpooledDeployment


class SpooledAudit(AuditRecord):
    detail: msgspec.Raw = NOTHING


class SpooledAuditEntry(msgspec.Struct, tag_field="entry", tag="audit"):
    audit: SpooledAudit


SpooledEntry: TypeAlias = (
    SpooledRunEntry
    | DetailEntry
    | SpooledSnapshotEntry
    | SpooledDeploymentEntry
    | DeliveryEntry
    | SpooledAuditEntry
)
