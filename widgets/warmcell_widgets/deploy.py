"""The Deploy button: deploy a pipeline under a name, and see and change what is deployed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets

from warmcell.errors import WarmcellError
from warmcell.ids import now
from warmcell.link import control, notebook, status
from warmcell_widgets import formatting as fmt
from warmcell_widgets import settings
from warmcell_widgets.assets import script
from warmcell_widgets.bridge import HostView, problem
from warmcell_widgets.deployments import deployment_body, deployments_text
from warmcell_widgets.markup import text, wrap
from warmcell_widgets.serving import serve_here

if TYPE_CHECKING:
    from warmcell.deployment import Deployment
    from warmcell.pipelines import Pipeline


class DeployWidget(HostView):
    """A name field and a Deploy button for ``pipeline``, settings, and its deployments, live.

    Only deploying needs the kernel; undeploy, rollback and keys go to the host by HTTP where they
    can.
    A click deploys what the pipeline's name means *then*, so that the button of an earlier output
    does not bring back an older definition.
    """

    _esm: ClassVar[str] = script("deploy.js")

    _pipeline = traitlets.Unicode().tag(sync=True)
    _name = traitlets.Unicode().tag(sync=True)
    _url = traitlets.Unicode().tag(sync=True)
    _settings = traitlets.Dict().tag(sync=True)  # the pipeline's own, when the view was made
    _notebook = traitlets.Unicode(None, allow_none=True).tag(sync=True)

    def __init__(self, pipeline: Pipeline, name: str | None = None) -> None:
        control("GET", "api/v1/status")  # connects
        self._target = pipeline
        super().__init__(
            _pipeline=pipeline.name,
            _name=name or default_name(pipeline.name),
            _url=status().url,
            _settings=settings.own(pipeline),
            _notebook=notebook(),
        )

    @property
    def pipeline(self) -> Pipeline:
        """The pipeline that a click deploys."""
        spaces = getattr(self._target.function, "__globals__", {})
        found = spaces.get(self._target.name)
        return found if type(found) is type(self._target) else self._target

    def _handle(self, message: dict[str, Any]) -> None:
        name = str(message.get("name"))
        if message.get("kind") == "warmcell-settings":
            self._tell_settings(name)
        elif message.get("kind") == "warmcell-deploy":
            note = str(message.get("note") or "") or None
            given = message.get("settings") or {}
            self._answer_deploy(message.get("id"), name, lambda: self._deploy(name, given, note))
        elif message.get("kind") == "warmcell-serve":
            self._answer_deploy(message.get("id"), name, lambda: serve_here(self.pipeline, name))

    def _tell_settings(self, name: str) -> None:
        """Send what a click on Deploy would set."""
        try:
            planned = settings.planned(self.pipeline, name)
        except WarmcellError:
            return  # the form goes on showing what it has
        self.send({"kind": "warmcell-settings", "name": name, "settings": planned})

    def _deploy(self, name: str, changes: dict[str, Any], note: str | None) -> Deployment:
        pipeline = self.pipeline
        given = settings.given(pipeline, name, changes)
        again = settings.frozen(pipeline, name)
        deployed: Deployment = pipeline.deploy(name, settings=given, note=note, **again)
        return deployed

    def _answer_deploy(
        self, identifier: object, name: str, deploy: Callable[[], Deployment]
    ) -> None:
        """Deploy, and tell the view how that went."""
        self.send({"kind": "warmcell-deploying", "id": identifier})
        answer: dict[str, Any] = {"kind": "warmcell-deployed", "id": identifier}
        try:
            made = deploy()
            answer["deployment"] = {
                "name": made.name,
                "snapshot": made.snapshot,
                "url": made.url,
                "notes": made.notes,
            }
            answer["settings"] = settings.planned(self.pipeline, name)
        except BaseException as error:  # the outermost edge: on_init is the user's code
            answer["problem"] = problem(error)
            if isinstance(error, settings.Misfit):
                answer["problem"]["fields"] = error.fields
            if not isinstance(error, Exception):
                raise
        finally:
            self.send(answer)
        self.refresh_static()

    def _deployed(self) -> list[dict[str, Any]]:
        found = control("GET", "api/v1/deployments")["deployments"]
        return [item for item in found if item["pipeline"] == self._pipeline]

    def static_html(self) -> str:
        try:
            found = self._deployed()
        except WarmcellError as error:
            return wrap(f'<p class="wc-dim">{text(error)}</p>')
        if found:
            bodies = [deployment_body(item, as_of=now()) for item in found]
            return wrap("".join(f'<div class="wc-card">{body}</div>' for body in bodies))
        return wrap(
            f'<div class="wc-card"><div class="wc-head">'
            f'<span class="wc-name">{text(self._pipeline)}</span> '
            f'<span class="wc-dim">not deployed as of {fmt.clock(now())}; '
            f"<code>%deploy {text(self._pipeline)}</code> deploys it</span></div></div>"
        )

    def static_text(self) -> str:
        try:
            found = self._deployed()
        except WarmcellError as error:
            return str(error)
        if found:
            return deployments_text(found)
        return f"{self._pipeline}: not deployed. %deploy {self._pipeline} deploys it."


def default_name(pipeline: str) -> str:
    """A deployment's name made of a pipeline's."""
    return re.sub(r"[^a-z0-9_-]+", "-", pipeline.lower()).strip("-_")[:63]
