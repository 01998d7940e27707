"""What all live views share: where their host is, requests over the comm, and the static twin.

The browser reads and acts over HTTP where the page comes from the host's own Jupyter server. Where
it cannot (an editor, a hosted notebook), it sends ``{"kind": "warmcell-request", "id", "method",
"path", "body"}`` over the comm and gets ``{"kind": "warmcell-reply", "id", "status", "body"}``,
always, errors included. Requests are answered from threads of their own, because a long poll must
not hold the kernel's main thread.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, ClassVar

import anywidget
import traitlets

from warmcell.errors import WarmcellError
from warmcell.ids import new_id
from warmcell.link import control, status
from warmcell_widgets.assets import style

METHODS = frozenset({"GET", "POST", "DELETE"})
OPEN_PREFIX = "api/v1/"
MOST_AT_ONCE = 8
ANSWER_SECONDS = 45.0

# The live view and its static twin are two outputs of one cell; the twin shows only while there is
# no live view, and a view that cannot live any more shows nothing. Selectors of JupyterLab's page.
_PAIRING = """
.jp-OutputArea-child:has(.wc-live) + .jp-OutputArea-child:has(.wc-static) { display: none; }
.jp-OutputArea-child:has(.lm-Panel):not(:has(.wc-live)):has(+ .jp-OutputArea-child .wc-static)
{ display: none; }
"""


class HostView(anywidget.AnyWidget):
    """A view of the host's data. Subclasses say what it looks like without a kernel."""

    _esm: ClassVar[str] = "export default { render() {} };"
    _css: ClassVar[str] = style()

    _base_path = traitlets.Unicode().tag(sync=True)
    _host_id = traitlets.Unicode().tag(sync=True)

    def __init__(self, **traits: Any) -> None:
        where = status()
        super().__init__(_base_path=where.base_path, _host_id=where.host_id, **traits)
        self._twins: list[str] = []  # display ids of the static twins
        self._slots = threading.BoundedSemaphore(MOST_AT_ONCE)
        self.on_msg(self._receive)

    def static_html(self) -> str:
        """The view as HTML that needs nothing."""
        raise NotImplementedError

    def static_text(self) -> str:
        """The view as text."""
        raise NotImplementedError

    # -- display -----------------------------------------------------------------------------

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        bundle: Any = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle or ({}, {})
        return {**data, "text/plain": self.static_text(), "text/html": self.static_html()}, metadata

    def _ipython_display_(self) -> None:
        """Show the live view and its static twin.

        JupyterLab picks the widget of an output that has both, and shows an error once the kernel
        that made it is gone: there the twin is an output of its own. Editors get one output.
        """
        from IPython.display import display

        if _is_editor():
            data, metadata = self._repr_mimebundle_()
            display(data, metadata=metadata, raw=True)
            return
        data, metadata = super()._repr_mimebundle_() or ({}, {})
        self._twins.append(new_id())
        display({**data, "text/plain": ""}, metadata=metadata, raw=True)
        display(self._twin(), raw=True, display_id=self._twins[-1])

    def _twin(self) -> dict[str, str]:
        html = f'<style>{_PAIRING}</style><div class="wc-static">{self.static_html()}</div>'
        return {"text/html": html, "text/plain": self.static_text()}

    def refresh_static(self) -> None:
        """Bring what a saved notebook will show up to date."""
        from IPython.display import display

        for identifier in self._twins:
            display(self._twin(), raw=True, display_id=identifier, update=True)

    # -- the comm ----------------------------------------------------------------------------

    def _receive(self, _: Any, message: Any, buffers: Any) -> None:
        if not isinstance(message, dict):
            return
        if message.get("kind") == "warmcell-request":
            if not self._slots.acquire(blocking=False):
                self._reply(message, 503, {"detail": "Too many requests of this view at once."})
                return
            threading.Thread(
                target=self._answer, args=(message,), name="warmcell-view", daemon=True
            ).start()
        elif message.get("kind") == "warmcell-changed":
            self.refresh_static()
        else:
            self._handle(message)

    def _handle(self, message: dict[str, Any]) -> None:
        """Take a message of a subclass's own kind. Runs on the main thread."""

    def _answer(self, message: dict[str, Any]) -> None:
        method, path = str(message.get("method")), str(message.get("path"))
        try:
            if method not in METHODS or not path.startswith(OPEN_PREFIX) or ".." in path:
                self._reply(message, 404, {"detail": f"There is no {method} {path} here."})
                return
            body = control(method, path, message.get("body"), timeout=ANSWER_SECONDS)
            self._reply(message, 200, body)
        except WarmcellError as error:
            self._reply(message, 400, problem(error))
        finally:
            self._slots.release()

    def _reply(self, message: dict[str, Any], code: int, body: Any) -> None:
        self.send({"kind": "warmcell-reply", "id": message.get("id"), "status": code, "body": body})


def problem(error: BaseException) -> dict[str, Any]:
    """An error as the part of a problem document that views read."""
    return {
        "title": type(error).__name__,
        "detail": getattr(error, "message", None) or str(error) or type(error).__name__,
        "hint": getattr(error, "hint", None),
    }


def _is_editor() -> bool:
    """Whether this kernel's front end is, as far as one can know, none of Jupyter's own."""
    from IPython import get_ipython

    shell = get_ipython()
    names = shell.user_ns if shell is not None else {}
    return (
        not {"VSCODE_PID", "VSCODE_CWD", "KAGGLE_KERNEL_RUN_TYPE"}.isdisjoint(os.environ)
        or "__vsc_ipynb_file__" in names
        or "google.colab" in sys.modules
    )
