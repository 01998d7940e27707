"""The part of the client that is about models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode

from warmcell.context import looks_up
from warmcell.ids import new_id
from warmcell.model.inrun import check_may_make, pin_of
from warmcell.model.version import ModelInfo, ModelVersion, path_of
from warmcell.remote.asking import Asking
from warmcell.remote.page import Page
from warmcell.remote.pipelines import tags_text

if TYPE_CHECKING:
    from warmcell.client import Client
    from warmcell.model.model import Model

__all__ = ["ModelClient"]


class ModelClient(Asking):
    """Models and their versions. What is not there raises :class:`~warmcell.errors.NotFound`."""

    def create_model(
        self, name: str, *, tags: Sequence[str] | None = None, **about: Any
    ) -> ModelInfo:
        """Make a model. ``about`` is its ``license``, ``description``, ``audience``, ``use_cases``,
        ``limitations``, ``trade_offs`` and ``ethics``. Raises :class:`~warmcell.errors.Conflict`
        for a name that is taken."""
        body = {"name": name, "tags": list(tags or ()), "about": _given(about)}
        return self._model(self._call("POST", "api/v1/models", body))

    def get_model(self, model_name_or_id: str) -> ModelInfo:
        """Return one model."""
        return self._model(self._call("GET", path_of(model_name_or_id)))

    def list_models(
        self, *, tag: str | None = None, tags: str | Sequence[str] | None = None
    ) -> Page[ModelInfo]:
        """Return the models by name; with ``tags`` those that all of them fit: names, or
        ``contains:``, ``startswith:``, ``endswith:``, ``notequals:`` and a text."""
        wanted = tags_text(tag, tags)
        given = f"?{urlencode({'tag': wanted})}" if wanted else ""
        found = self._call("GET", f"api/v1/models{given}")["models"]
        return Page(map(self._model, found))

    def update_model(
        self,
        model_name_or_id: str,
        *,
        add_tags: Sequence[str] | None = None,
        remove_tags: Sequence[str] | None = None,
        **about: Any,
    ) -> ModelInfo:
        """Change what a model says of itself, and its tags."""
        client: Any = self
        if remove_tags:
            client.detach_tags(remove_tags, model=model_name_or_id)
        body = {"about": _given(about), "tags": list(add_tags or ())}
        return self._model(self._call("PATCH", path_of(model_name_or_id), body))

    def delete_model(self, model_name_or_id: str, *, force: bool = False) -> None:
        """Delete a model with its versions; their artifacts stay. Raises
        :class:`~warmcell.errors.Conflict` while a version is in production, unless ``force``."""
        self._call("DELETE", path_of(model_name_or_id) + ("?force=true" if force else ""))

    def create_model_version(
        self,
        model_name_or_id: str,
        name: str | None = None,
        *,
        description: str | None = None,
        tags: Sequence[str] | None = None,
    ) -> ModelVersion:
        """Make a version, labelled ``name`` or by its number. Raises
        :class:`~warmcell.errors.Conflict` for a label that there is, and
        :class:`~warmcell.errors.UsageError` inside of a served call."""
        check_may_make()
        body = {
            "id": new_id(), "version": name, "new": True, "tags": list(tags or ()),
            "about": _given({"description": description}),
        }  # fmt: skip
        return self._version(self._call("POST", path_of(model_name_or_id, "versions"), body))

    def get_model_version(
        self,
        model_name_or_id: str,
        model_version_name_or_number_or_id: str | int | None = None,
    ) -> ModelVersion:
        """Return the version that a number, label, stage or alias names; the newest by default."""
        version = model_version_name_or_number_or_id
        named = "latest" if version is None else str(getattr(version, "value", version))
        found = self._found_version(model_name_or_id, named)
        found._looked_up(named)
        return found

    def _found_version(self, model_name_or_id: str, named: str) -> ModelVersion:
        if (pinned := pin_of(model_name_or_id, named)) is not None:
            return pinned
        return self._version(self._call("GET", path_of(model_name_or_id, "versions", named)))

    def list_model_versions(
        self,
        model_name_or_id: str,
        *,
        stage: str | None = None,
        tag: str | None = None,
        tags: str | Sequence[str] | None = None,
        run_id: str | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> Page[ModelVersion]:
        """Return the versions, newest first; those in a ``stage``, that all ``tags`` fit, made
        by a run, or ``before`` a number."""
        looks_up(f"the versions of model {model_name_or_id!r} itself")
        filters = {
            "stage": stage,
            "tag": tags_text(tag, tags),
            "run_id": run_id,
            "before": before,
            "limit": limit,
        }
        given = urlencode(_given(filters))
        found = self._call("GET", f"{path_of(model_name_or_id, 'versions')}?{given}")["versions"]
        return Page(map(self._version, found))

    def update_model_version(
        self,
        model_name_or_id: str,
        version_name_or_id: str | int,
        *,
        stage: str | None = None,
        force: bool = False,
        description: str | None = None,
        add_tags: Sequence[str] | None = None,
        remove_tags: Sequence[str] | None = None,
    ) -> ModelVersion:
        """Change the description of a version and its tags, or bring it to a ``stage``; see
        :meth:`~warmcell.model.version.ModelVersion.set_stage`."""
        version = self.get_model_version(model_name_or_id, version_name_or_id)
        client: Any = self
        if remove_tags:
            client.detach_tags(remove_tags, model_version_id=version.id)
        if description is not None or add_tags or remove_tags:
            body = {"about": _given({"description": description}), "tags": list(add_tags or ())}
            path = f"api/v1/model-versions/{quote(version.id, safe='')}"
            version = self._version(self._call("PATCH", path, body))
        return version if stage is None else version.set_stage(stage, force)

    def delete_model_version(self, model_version_id: str) -> None:
        """Delete the version with that id. Raises :class:`~warmcell.errors.Conflict` while an alias
        points to it."""
        self._call("DELETE", f"api/v1/model-versions/{quote(model_version_id, safe='')}")

    def _make_model_version(
        self, model: Model, label: str | None, run_id: str | None
    ) -> ModelVersion:
        """The version for a run: made, unless there is one of that label."""
        body = {
            "id": new_id(), "version": label, "run_id": run_id, "tags": list(model.tags or ()),
            "model_tags": list(model.tags or ()), "model_about": model.about(),
        }  # fmt: skip
        return self._version(self._call("POST", path_of(model.name, "versions"), body))

    def _model(self, row: dict[str, Any]) -> ModelInfo:
        return ModelInfo(row, cast("Client", self))

    def _version(self, row: dict[str, Any]) -> ModelVersion:
        return ModelVersion(row, cast("Client", self))


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
