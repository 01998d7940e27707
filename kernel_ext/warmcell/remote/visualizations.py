"""The part of the client that is about curated visualizations: what is shown with what."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode
from uuid import UUID

from warmcell.enums import CuratedVisualizationSize, VisualizationResourceTypes
from warmcell.errors import ArtifactError, UsageError, WarmcellError
from warmcell.ids import new_id
from warmcell.remote.asking import Asking
from warmcell.remote.page import Page

if TYPE_CHECKING:
    from warmcell.artifacts.showing import Visualization
    from warmcell.artifacts.version import ArtifactVersion
    from warmcell.client import Client

__all__ = [
    "CuratedVisualization", "CuratedVisualizationResource", "CuratedVisualizations", "Project",
    "VisualizationClient",
]  # fmt: skip

PATH = "api/v1/visualizations"
_KINDS = {
    VisualizationResourceTypes.PIPELINE_RUN: "run",
    VisualizationResourceTypes.PIPELINE_SNAPSHOT: "snapshot",
}
_TYPES = {kind: type_ for type_, kind in _KINDS.items()}
_WIDTHS = {CuratedVisualizationSize.FULL_WIDTH: 100, CuratedVisualizationSize.HALF_WIDTH: 49}


@dataclasses.dataclass(frozen=True)
class Project:
    """What is in one store; ZenML has several."""

    id: str = "default"
    name: str = "default"


@dataclasses.dataclass
class CuratedVisualizationResource:
    """What a visualization is shown with.

    Args:
        id: the name of a model, deployment or pipeline, the id of a run, a snapshot as
            ``"churn/3"``, or the project's id; what has an ``id`` gives it.
        type: which of these it is.
    """

    id: Any
    type: VisualizationResourceTypes | str

    def __post_init__(self) -> None:
        self.type = _type(self.type)

    def to_json(self) -> dict[str, str]:
        """As the control plane takes it."""
        kind = VisualizationResourceTypes(self.type)
        return {"kind": _KINDS.get(kind, kind.value), "id": str(getattr(self.id, "id", self.id))}


class CuratedVisualization(Mapping[str, Any]):
    """A visualization of an artifact version that is shown with ``resources``: ``id``,
    ``artifact_version_id``, ``visualization_index``, ``display_name``, ``display_order``,
    ``layout_size`` and ``created_at``. A mapping, and by attributes; it shows itself."""

    def __init__(self, described: Mapping[str, Any], client: Client) -> None:
        self._described, self._client = dict(described), client

    def __getitem__(self, key: str) -> Any:
        return self._described[key]

    def __iter__(self) -> Any:
        return iter(self._described)

    def __len__(self) -> int:
        return len(self._described)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_described"][name]
        except KeyError:
            raise AttributeError(f"A curated visualization has no {name!r}.") from None

    @property
    def layout_size(self) -> CuratedVisualizationSize:
        """How wide it is where it is shown."""
        return CuratedVisualizationSize(self._described["layout_size"])

    @property
    def resources(self) -> list[CuratedVisualizationResource]:
        """What it is shown with."""
        return [
            CuratedVisualizationResource(one["id"], _TYPES.get(one["kind"], one["kind"]))
            for one in self._described["resources"]
        ]

    @property
    def resource(self) -> CuratedVisualizationResource:
        """What it is shown with; the first where that is several things."""
        return self.resources[0]

    @property
    def resource_id(self) -> str:
        """The id of :attr:`resource`."""
        return str(self.resource.id)

    @property
    def resource_type(self) -> VisualizationResourceTypes:
        """The type of :attr:`resource`."""
        return VisualizationResourceTypes(self.resource.type)

    @property
    def artifact_visualization_id(self) -> str:
        """The id of the :attr:`visualization`."""
        return f"{self['artifact_version_id']}/{self['visualization_index']}"

    @property
    def visualization(self) -> Visualization:
        """What is shown. Raises :class:`~warmcell.errors.ArtifactError` where that is gone, and
        :class:`~warmcell.errors.NotFound`."""
        version = self._client.get_artifact_version(self["artifact_version_id"])
        found: list[Visualization] = version.visualizations()
        index = int(self["visualization_index"])
        if index >= len(found):
            raise ArtifactError(
                f"Version {version.version} of artifact '{version.artifact}' has no visualization "
                f"{index}."
            )
        return found[index]

    def get_hydrated_version(self) -> CuratedVisualization:
        """It as it is now."""
        return self._client.get_curated_visualization(self["id"])

    def to_json(self) -> dict[str, Any]:
        """As the control plane describes it."""
        return dict(self._described)

    def _repr_html_(self) -> str:
        title = self["display_name"] or self["artifact"] or ""
        try:
            body = self.visualization.html()
        except WarmcellError as error:
            body = f"<p>{html.escape(str(error))}</p>"
        return f"<div><strong>{html.escape(title)}</strong>{body}</div>"

    def __repr__(self) -> str:
        name = f" {self['display_name']!r}" if self["display_name"] else ""
        shown = ", ".join(f"{one['kind']} {one['id']}" for one in self._described["resources"])
        of = f"{self['artifact']}@{self['version']}"
        return f"<curated visualization{name} of {of}, shown with {shown}>"


class CuratedVisualizations(Page[CuratedVisualization]):
    """Curated visualizations in the order in which they are shown. Shows them, as wide as they
    are to be."""

    def _repr_html_(self) -> str:
        tiles = "".join(
            f'<div style="width:{_WIDTHS[one.layout_size]}%">{one._repr_html_()}</div>'
            for one in self
        )
        if not tiles:
            return "<p>Nothing is shown with it.</p>"
        return f'<div style="display:flex;flex-wrap:wrap;gap:1%">{tiles}</div>'


class VisualizationClient(Asking):
    """What is shown with models, deployments and the like. What is not there raises
    :class:`~warmcell.errors.NotFound`."""

    @property
    def active_project(self) -> Project:
        """The project; a store is one."""
        return Project()

    def create_curated_visualization(
        self,
        artifact_visualization_id: str | UUID | None = None,
        *,
        artifact_version_id: str | UUID | ArtifactVersion | None = None,
        visualization_index: int = 0,
        resource: CuratedVisualizationResource | None = None,
        resources: Sequence[CuratedVisualizationResource] = (),
        resource_id: Any = None,
        resource_type: VisualizationResourceTypes | str | None = None,
        project_id: Any = None,
        display_name: str | None = None,
        display_order: int | None = None,
        layout_size: CuratedVisualizationSize | str = CuratedVisualizationSize.FULL_WIDTH,
    ) -> CuratedVisualization:
        """Show a visualization of an artifact version with something. The version is kept as long
        as it is shown with more than runs.

        Args:
            artifact_visualization_id: the ``id`` of one of ``version.visualizations``; or
            artifact_version_id, visualization_index: a version, and which of these, from 0.
            resource, resources: what it is shown with; or its ``resource_id`` and
                ``resource_type``.
            project_id: taken for ZenML's sake; a store has one project.
            display_name: what it is called there.
            display_order: lower ones come first, those without one last.
            layout_size: whether it takes the full width or half of it.

        Raises:
            UsageError: the version has no such visualization; nothing to show it with.
        """
        if artifact_visualization_id is not None:
            version, _, number = str(artifact_visualization_id).partition("/")
            if artifact_version_id is not None or not number.isdecimal():
                raise UsageError(
                    "Which visualization is meant?",
                    hint="Give the id of one of version.visualizations, or artifact_version_id.",
                )
            visualization_index = int(number)
        elif artifact_version_id is not None:
            version = str(getattr(artifact_version_id, "id", artifact_version_id))
        else:
            raise UsageError("Which visualization is meant?", hint="Give artifact_version_id.")
        wanted = [*([resource] if resource is not None else ()), *resources]
        if resource_id is not None and resource_type is not None:
            wanted.append(CuratedVisualizationResource(resource_id, resource_type))
        if not wanted:
            raise UsageError(
                "What is it shown with?",
                hint='Give resource=CuratedVisualizationResource("churn", "model").',
            )
        body = {
            "id": new_id(), "version": version, "number": visualization_index,
            "resources": [one.to_json() for one in wanted], "name": display_name,
            "place": display_order, "layout": _size(layout_size),
        }  # fmt: skip
        return self._curated(self._call("POST", PATH, body))

    def get_curated_visualization(
        self, visualization_id: str | UUID, hydrate: bool = True
    ) -> CuratedVisualization:
        """Return one of them; all that is known of it, also without ``hydrate``."""
        return self._curated(self._call("GET", _path(visualization_id)))

    def list_curated_visualizations(
        self,
        *,
        model_id: Any = None,
        deployment_id: Any = None,
        pipeline_id: Any = None,
        pipeline_run_id: Any = None,
        pipeline_snapshot_id: Any = None,
        project_id: Any = None,
        resource_type: VisualizationResourceTypes | str | None = None,
        resource_id: Any = None,
    ) -> CuratedVisualizations:
        """Return what is shown with one thing, in that order; without one all of them."""
        named = {
            "model": model_id, "deployment": deployment_id, "pipeline": pipeline_id,
            "pipeline_run": pipeline_run_id, "pipeline_snapshot": pipeline_snapshot_id,
            "project": project_id,
        }  # fmt: skip
        if resource_type is not None and resource_id is not None:
            named[_type(resource_type).value] = resource_id
        said = {name: value for name, value in named.items() if value is not None}
        if len(said) > 1:
            raise UsageError(f"Shown with {' or '.join(said)}?", hint="Name one of them.")
        query = ""
        for name, value in said.items():
            query = f"?{urlencode(CuratedVisualizationResource(value, name).to_json())}"
        found = self._call("GET", f"{PATH}{query}")["visualizations"]
        return CuratedVisualizations(map(self._curated, found))

    def update_curated_visualization(
        self,
        visualization_id: str | UUID,
        *,
        display_name: str | None = None,
        display_order: int | None = None,
        layout_size: CuratedVisualizationSize | str | None = None,
    ) -> CuratedVisualization:
        """Change what it is called, its place or how wide it is; what is not given stays."""
        given = {
            "name": display_name, "place": display_order,
            "layout": None if layout_size is None else _size(layout_size),
        }  # fmt: skip
        body = {name: value for name, value in given.items() if value is not None}
        return self._curated(self._call("PATCH", _path(visualization_id), body))

    def delete_curated_visualization(self, visualization_id: str | UUID) -> None:
        """Show it nowhere any more; the artifact stays."""
        self._call("DELETE", _path(visualization_id))

    def _curated(self, row: Mapping[str, Any]) -> CuratedVisualization:
        return CuratedVisualization(row, cast("Client", self))


def _path(visualization_id: Any) -> str:
    named = str(getattr(visualization_id, "id", visualization_id))
    return f"{PATH}/{quote(named, safe='')}"


def _type(given: Any) -> VisualizationResourceTypes:
    try:
        return VisualizationResourceTypes(given)
    except ValueError:
        raise UsageError(
            f"Nothing is shown with a {given!r}.",
            hint=f"Types: {', '.join(VisualizationResourceTypes)}.",
        ) from None


def _size(given: Any) -> str:
    try:
        return CuratedVisualizationSize(given).value
    except ValueError:
        raise UsageError(
            f"{given!r} is no size.", hint=f"Sizes: {', '.join(CuratedVisualizationSize)}."
        ) from None
