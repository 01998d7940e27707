"""The part of the client that is about lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import quote, urlencode

from warmcell.errors import UsageError
from warmcell.remote.asking import Asking

if TYPE_CHECKING:
    from warmcell.artifacts.version import ArtifactVersion
    from warmcell.client import Client
    from warmcell.lineage import Lineage, Origin
    from warmcell.model.version import ModelVersion
    from warmcell.runs import Run

__all__ = ["LineageClient"]

LINEAGE_SECONDS = 60.0


class LineageClient(Asking):
    """What came from what. What is not there raises :class:`~warmcell.errors.NotFound`."""

    def get_lineage(
        self,
        artifact: str | ArtifactVersion | None = None,
        version: str | int | None = None,
        *,
        run: str | Run | None = None,
        step: str | None = None,
        model: str | ModelVersion | None = None,
        deployment: str | None = None,
        pipeline: str | None = None,
        snapshot: int | None = None,
        direction: Literal["up", "down", "both"] = "both",
        depth: int = 20,
        limit: int = 300,
    ) -> Lineage:
        """Return the graph around one thing: where it came from ("up"), what was made of it
        ("down"), or both.

        Args:
            artifact: a version, its id, or an artifact's name with ``version`` (label or number),
                the newest by default.
            run: all steps of a run (id or name), or with ``step`` one of them.
            model: a version, or a model's name with ``version``.
            deployment: its name.
            pipeline: with ``snapshot`` (number) a snapshot of it.
            depth: how many edges away to go, at most 100.
            limit: how many nodes to give, at most 2000; ``truncated`` says whether there are more.
        """
        from warmcell.lineage import Lineage

        named = self._subject(
            artifact, version, run=run, step=step, model=model, deployment=deployment,
            pipeline=pipeline, snapshot=snapshot,
        )  # fmt: skip
        given = urlencode({**named, "direction": direction, "depth": depth, "limit": limit})
        return Lineage(self._call("GET", f"api/v1/lineage?{given}", timeout=LINEAGE_SECONDS))

    def get_artifact_origin(
        self, artifact: str | ArtifactVersion, version: str | int | None = None
    ) -> Origin:
        """Return the run that made an artifact version, with its parameters, the snapshot, the
        code and the versions that its step took."""
        from warmcell.lineage import Origin

        if isinstance(artifact, str):
            artifact = cast("Client", self).get_artifact_version(artifact, version)
        path = f"api/v1/artifact-versions/{quote(artifact.id, safe='')}/origin"
        return Origin(self._call("GET", path))

    def get_openlineage_events(
        self, run: str | Run, *, namespace: str = "warmcell"
    ) -> list[dict[str, Any]]:
        """Return a run as OpenLineage events, plain dicts for any catalogue that takes them: a
        START and an end of the run and of each step, jobs and datasets in ``namespace``."""
        run_id = run if isinstance(run, str) else run.id
        given = urlencode({"namespace": namespace})
        path = f"api/v1/runs/{quote(run_id, safe='')}/openlineage?{given}"
        found: list[dict[str, Any]] = self._call("GET", path)["events"]
        return found

    def _subject(
        self, artifact: str | ArtifactVersion | None, version: str | int | None, **named: Any
    ) -> dict[str, Any]:
        """What is meant, as the control plane names it."""
        run, step, model = named["run"], named["step"], named["model"]
        deployment, pipeline, number = named["deployment"], named["pipeline"], named["snapshot"]
        subjects = {"artifact": artifact, "run": run, "model": model, "deployment": deployment,
                    "pipeline": pipeline}  # fmt: skip
        given = [name for name, value in subjects.items() if value is not None]
        if len(given) != 1:
            raise UsageError(
                "Whose lineage?" if not given else f"Whose lineage: {' or '.join(given)}?",
                hint=f"Name one of {', '.join(subjects)}.",
            )
        if artifact is not None:
            if isinstance(artifact, str):
                artifact = cast("Client", self).get_artifact_version(artifact, version)
            return {"kind": "artifact_version", "id": artifact.id}
        if run is not None:
            found = {"kind": "run", "run": run if isinstance(run, str) else run.id}
            return found if step is None else found | {"kind": "step", "step": step}
        if model is not None:
            if not isinstance(model, str):
                return {"kind": "model_version", "id": model.id}
            label = {} if version is None else {"version": version}
            return {"kind": "model_version", "model": model, **label}
        if deployment is not None:
            return {"kind": "deployment", "deployment": deployment}
        if number is None:
            raise UsageError(
                f"Which snapshot of '{pipeline}'?", hint="Pass its number as `snapshot`."
            )
        return {"kind": "snapshot", "pipeline": pipeline, "number": number}
