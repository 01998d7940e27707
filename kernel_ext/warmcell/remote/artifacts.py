"""The part of the client that is about artifacts and their versions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode
from uuid import UUID

from warmcell.context import looks_up
from warmcell.errors import UsageError
from warmcell.remote.asking import Asking
from warmcell.remote.pipelines import tags_text

if TYPE_CHECKING:
    from warmcell.artifacts.version import ArtifactVersion, ArtifactVersions
    from warmcell.client import Client

__all__ = ["ArtifactClient"]

FILTERS = (
    "before", "artifact", "like", "version", "run_id", "step", "pipeline", "kind", "type", "role",
    "status", "digest", "user", "tag", "tags", "since", "until", "text", "latest",
)  # fmt: skip


class ArtifactClient(Asking):
    """Artifacts and their versions. What is not there raises
    :class:`~warmcell.errors.NotFound`."""

    def get_artifact_version(
        self,
        name_id_or_prefix: str | UUID | None = None,
        version: str | int | None = None,
        *,
        name: str | None = None,
        tag: str | None = None,
    ) -> ArtifactVersion:
        """Return the version of an artifact that a label or number names, else the newest one that
        is stored; with ``tag`` the newest that has it. An id of a version does as well."""
        if (name is None) == (name_id_or_prefix is None):
            raise UsageError("Which artifact is meant?", hint="Give its name, or the version's id.")
        wanted = {"name": str(name_id_or_prefix or name), "version": version, "tag": tag}
        if version is None:
            _asked(str(wanted["name"]))
        given = urlencode({key: value for key, value in wanted.items() if value is not None})
        return self._artifact_version(self._call("GET", f"api/v1/artifact-versions/find?{given}"))

    get_artifact = get_artifact_version

    def list_artifact_versions(
        self, name: str | None = None, limit: int = 50, **filters: Any
    ) -> ArtifactVersions:
        """Return versions, newest first.

        Filters: ``artifact`` (also ``name``), ``like`` (a pattern, as ``churn*``), ``version``,
        ``run_id``, ``step``, ``pipeline``, ``kind``, ``type``, ``role``, ``status``, ``digest``,
        ``user``, ``tag`` (one, or several of which all must be there), ``since`` and ``until``
        (RFC 3339 text or datetime), ``text``, ``latest`` (only the newest of each artifact), and
        ``before`` (the id of the last one of the page before).
        """
        from warmcell.artifacts.version import ArtifactVersions
        from warmcell.options import close_match

        if name is not None:
            filters["artifact"] = name
        if "tags" in filters:
            filters["tag"] = filters.pop("tags")
        for filter_ in filters:
            if filter_ not in FILTERS:
                raise UsageError(
                    f"list_artifact_versions() has no filter {filter_!r}.",
                    hint=close_match(filter_, FILTERS) or f"Filters: {', '.join(FILTERS)}.",
                )
        wanted = {k: _text(v) for k, v in {"limit": limit, **filters}.items() if v is not None}
        answer = self._call("GET", f"api/v1/artifact-versions?{urlencode(wanted)}")
        return ArtifactVersions([self._artifact_version(row) for row in answer["versions"]])

    def list_artifacts(
        self,
        text: str | None = None,
        *,
        tag: str | None = None,
        tags: str | Sequence[str] | None = None,
        pipeline: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        """Return artifacts, the one with the newest version first: each with ``artifact``, number
        of ``versions``, ``size`` of all in bytes, ``tags``, and the ``id``, ``version``,
        ``number``, ``kind``, ``type``, ``pipeline`` and ``created_at`` of its newest."""
        wanted = {
            "text": text,
            "tag": tags_text(tag, tags),
            "pipeline": pipeline,
            "limit": limit,
            "offset": offset,
        }
        given = urlencode({key: value for key, value in wanted.items() if value is not None})
        found: list[dict[str, Any]] = self._call("GET", f"api/v1/artifacts?{given}")["artifacts"]
        return found

    def delete_artifact_version(
        self, name_or_id: str | ArtifactVersion, version: str | int | None = None
    ) -> None:
        """Delete one version, named as in :meth:`get_artifact_version`. Raises
        :class:`~warmcell.errors.Conflict`, which says what keeps it, where something does."""
        if isinstance(name_or_id, str):
            name_or_id = self.get_artifact_version(name_or_id, version)
        name_or_id.delete()

    def delete_artifact(self, name: str) -> int:
        """Delete all versions of an artifact, or none where something keeps one of them
        (:class:`~warmcell.errors.Conflict`); return how many there were."""
        gone = self._call("DELETE", f"api/v1/artifacts?{urlencode({'name': name})}")
        return int(gone["versions"])

    def prune_artifacts(
        self,
        *,
        days: float | None = None,
        keep: int | None = None,
        bytes: int | None = None,
        artifact: str | None = None,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Delete versions that nothing keeps: those older than ``days``, all but the newest
        ``keep`` of each artifact, the oldest until the rest takes at most ``bytes``; without a
        bound all of them. ``artifact`` is a name or a pattern, as ``churn*``.

        Returns how many ``versions`` and ``bytes`` went, or with ``dry_run`` would go, the first
        of their ``names``, and how many are ``kept`` by something.
        """
        bounds = {"days": days, "keep": keep, "bytes": bytes, "artifact": artifact}
        body = {name: value for name, value in bounds.items() if value is not None}
        body["dry_run"] = dry_run
        found: dict[str, Any] = self._call(
            "POST", "api/v1/artifact-versions/prune", body, timeout=600.0
        )
        return found

    def _artifact_version(self, row: dict[str, Any]) -> ArtifactVersion:
        from warmcell.artifacts.version import ArtifactVersion

        return ArtifactVersion(row, cast("Client", self))


def _asked(name: str) -> None:
    """Code asks for an artifact by its name: another version may be meant next time."""
    try:
        UUID(name)
    except ValueError:
        looks_up(f"artifact {name!r} itself, without the number of a version")


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(_text, value))
    return value.isoformat() if hasattr(value, "isoformat") else str(value)
