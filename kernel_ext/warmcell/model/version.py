"""ModelVersion: one version of a model as the store has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from warmcell.context import looks_up
from warmcell.errors import NotFound
from warmcell.metadata.values import restored
from warmcell.model.logged import logged

if TYPE_CHECKING:
    from warmcell.client import Client
    from warmcell.lineage import Lineage

__all__ = ["ModelInfo", "ModelVersion", "path_of"]


def path_of(model: str, *parts: str) -> str:
    """The path of a model, or of something of it, in the control plane."""
    return "/".join(["api/v1/models", *(quote(str(part), safe="") for part in (model, *parts))])


class ModelInfo:
    """A model as the store has it: ``name``, ``description`` and the like, ``tags``, the number of
    its ``versions``, the name of the ``latest``, and the versions that its ``aliases`` name."""

    def __init__(self, row: Mapping[str, Any], client: Client) -> None:
        self._row, self._client = dict(row), client

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _member(self._row, name, "A model")

    @property
    def id(self) -> str:
        """Its name, which is what it is known by."""
        return str(self._row["name"])

    def to_json(self) -> dict[str, Any]:
        """What is known of it, as plain values."""
        return dict(self._row)

    def history(self, alias: str | None = None) -> list[dict[str, Any]]:
        """Who moved which alias when, from where to where; newest first."""
        return moves(self._client, self._row["name"], alias)

    def set_alias(
        self,
        alias: str,
        version: str | int | ModelVersion | None,
        *,
        revision: int | None = None,
        reason: str | None = None,
    ) -> int:
        """Point ``alias`` to a version, or with None to nothing; returns its new revision. With
        ``revision`` only if it is at that one. Raises :class:`~warmcell.errors.Conflict`."""
        name = self._row["name"]
        if version is not None and not isinstance(version, ModelVersion):
            version = self._client.get_model_version(name, version)
        body = {"version": version.id if version else None, "revision": revision, "reason": reason}
        moved = self._client._call("PUT", path_of(name, "aliases", alias), body)
        return int(moved["revision"])

    def back(
        self, alias: str, *, revision: int | None = None, reason: str | None = None
    ) -> ModelVersion:
        """Undo the last move of a stage or alias; returns the version that it is at then. Raises
        :class:`~warmcell.errors.Conflict` where it was nowhere else."""
        body = {"revision": revision, "reason": reason}
        path = path_of(self._row["name"], "aliases", alias, "back")
        moved = self._client._call("POST", path, body)
        return self._client.get_model_version(self._row["name"], moved["version"])

    def __repr__(self) -> str:
        return f"<model {self._row['name']}: {self._row['versions']} versions>"


class ModelVersion:
    """One version of a model: ``id``, ``number``, ``version`` (its label), ``stage``, ``aliases``,
    ``tags``, ``run_metadata``, ``run_id`` of the run that made it, ``description`` and the like."""

    def __init__(self, row: Mapping[str, Any], client: Client) -> None:
        self._row, self._client = dict(row), client

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _member(self._row, name, "A model version")

    @property
    def id(self) -> str:
        """Its id."""
        return str(self._row["id"])

    @property
    def name(self) -> str:
        """Its label; its number where none was given."""
        return str(self._row["version"])

    @property
    def model(self) -> ModelInfo:
        """The model as it is now."""
        return self._client.get_model(self._row["model"])

    @property
    def model_name(self) -> str:
        """Name of the model."""
        return str(self._row["model"])

    @property
    def run_metadata(self) -> dict[str, Any]:
        """What was logged about it."""
        if "run_metadata" not in self._row:  # one of a list
            path = f"api/v1/model-versions/{quote(self.id, safe='')}"
            self._row = dict(self._client._call("GET", path))
        types = self._row.get("metadata_types", {})
        found = self._row["run_metadata"].items()
        return {key: logged(restored(value, types.get(key, ""))) for key, value in found}

    def to_json(self) -> dict[str, Any]:
        """What is known of it, as plain values."""
        return dict(self._row)

    # -- artifacts -----------------------------------------------------------------------------

    def artifacts(self, role: str | None = None) -> list[dict[str, Any]]:
        """What belongs to it, newest first; ``role`` is "data", "model" or "deployment"."""
        return self._artifacts(role=role)

    def get_artifact(self, name: str, version: str | int | None = None) -> Any:
        """The artifact version of that name, the newest unless ``version`` names one; None where
        there is none. ``name`` is that of the artifact or of the step's output."""
        return self._artifact(None, name, version)

    def get_model_artifact(self, name: str, version: str | int | None = None) -> Any:
        """:meth:`get_artifact` among the models."""
        return self._artifact("model", name, version)

    def get_data_artifact(self, name: str, version: str | int | None = None) -> Any:
        """:meth:`get_artifact` among the data."""
        return self._artifact("data", name, version)

    def get_deployment_artifact(self, name: str, version: str | int | None = None) -> Any:
        """:meth:`get_artifact` among what is deployed."""
        return self._artifact("deployment", name, version)

    def load_artifact(self, name: str, version: str | int | None = None) -> Any:
        """The value of an artifact. Raises :class:`~warmcell.errors.NotFound`."""
        found = self.get_artifact(name, version)
        if found is None:
            known = sorted({one["artifact"] for one in self._artifacts()})
            raise NotFound(
                f"Version '{self.name}' of model '{self.model_name}' has no artifact '{name}'.",
                hint=f"It has {', '.join(known) or 'none'}.",
            )
        return found.load()

    def _artifacts(self, **filters: Any) -> list[dict[str, Any]]:
        given = urlencode({key: value for key, value in filters.items() if value is not None})
        path = f"api/v1/model-versions/{quote(self.id, safe='')}/artifacts"
        found: list[dict[str, Any]] = self._client._call("GET", f"{path}?{given}")["artifacts"]
        return found

    def _artifact(self, role: str | None, name: str, version: str | int | None) -> Any:
        found = self._artifacts(role=role, name=name, version=version)
        if version is None or not found or found[0]["artifact"] != name:
            looks_up(f"artifact {name!r} of model {self.model_name!r} itself")
        if not found and role == "model":
            # Its kind tells nothing of what it is for, where nobody said so.
            found = self._artifacts(name=name, version=version)
        client: Any = self._client
        return client.get_artifact_version(found[0]["id"]) if found else None

    def _looked_up(self, named: str) -> None:
        """Code asked for this version as ``named``; a stage, an alias or the newest may be another
        one next time."""
        if named not in (self.id, self.name, str(self._row["number"])):
            looks_up(f"version {named!r} of model {self.model_name!r} itself")

    def links(self, kind: str | None = None) -> list[dict[str, Any]]:
        """What was linked to it, newest first: ``kind`` ("run", "step", "artifact_version",
        "deployment"), ``subject`` (its id or name), ``role`` and ``time``."""
        given = f"?{urlencode({'kind': kind})}" if kind else ""
        path = f"api/v1/model-versions/{quote(self.id, safe='')}/links"
        found: list[dict[str, Any]] = self._client._call("GET", path + given)["links"]
        return found

    def link(self, kind: str, subject: str, role: str = "data") -> None:
        """Say that a run, an "artifact_version" or a deployment belongs to this version."""
        path = f"api/v1/model-versions/{quote(self.id, safe='')}/links"
        self._client._call("POST", path, {"kind": kind, "subject": subject, "role": role})

    # -- stages --------------------------------------------------------------------------------

    def set_stage(
        self,
        stage: str,
        force: bool = False,
        *,
        revision: int | None = None,
        reason: str | None = None,
    ) -> ModelVersion:
        """Bring this version to a stage: "staging", "production", "archived" or "none".

        A version that is there already raises :class:`~warmcell.errors.Conflict`, unless ``force``
        archives it. With ``revision`` the stage must be at that one (compare and set).
        """
        body = {
            "stage": str(getattr(stage, "value", stage)).lower(),
            "force": force, "revision": revision, "reason": reason,
        }  # fmt: skip
        path = f"api/v1/model-versions/{quote(self.id, safe='')}/stage"
        self._row |= self._client._call("POST", path, body)
        return self

    def update(self, **changes: Any) -> ModelVersion:
        """Change it, as :meth:`~warmcell.client.Client.update_model_version` does; returns it as it
        is then."""
        return self._client.update_model_version(self.model_name, self.name, **changes)

    def lineage(self, *, direction: Any = "both", depth: int = 20) -> Lineage:
        """What its artifacts came from, and the deployments that serve it; see
        :meth:`~warmcell.client.Client.get_lineage`."""
        return self._client.get_lineage(model=self, direction=direction, depth=depth)

    def delete(self) -> None:
        """Delete this version; what belongs to it stays. Raises
        :class:`~warmcell.errors.Conflict` while an alias points to it."""
        self._client.delete_model_version(self.id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelVersion) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        stage = f", {self._row['stage']}" if self._row.get("stage") else ""
        return f"<version {self.name} of model {self.model_name}{stage}>"


def moves(client: Client, model: str, alias: str | None) -> list[dict[str, Any]]:
    """The history of the aliases of a model."""
    given = f"?{urlencode({'alias': alias})}" if alias else ""
    found: list[dict[str, Any]] = client._call("GET", f"{path_of(model, 'moves')}{given}")["moves"]
    return found


_ABOUT = frozenset({
    "description", "license", "audience", "use_cases", "limitations", "trade_offs", "ethics",
    "save_models_to_registry",
})  # fmt: skip


def _member(row: Mapping[str, Any], name: str, what: str) -> Any:
    if name in row:
        return row[name]
    if name in _ABOUT:
        return None
    raise AttributeError(f"{what} has no attribute '{name}'.")
