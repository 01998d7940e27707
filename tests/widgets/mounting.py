"""Views in a page of a real Jupyter server, with the part of anywidget that they use."""

from __future__ import annotations

import json
from typing import Any

from tests.support.jupyter import JupyterServer
from warmcell_widgets.assets import script, style

MODEL = """
class Model {
  constructor(state) { this.state = state; this.handlers = new Set(); this.sent = []; }
  get(name) { return this.state[name]; }
  on(name, handler) { if (name === "msg:custom") this.handlers.add(handler); }
  off(name, handler) { this.handlers.delete(handler); }
  send(message) { this.sent.push(message); globalThis.fromView?.(message); }
  receive(message) { for (const handler of [...this.handlers]) handler(message); }
}
globalThis.mount = async (text, state) => {
  const url = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
  const model = new Model(state);
  const el = document.createElement("div");
  document.body.append(el);
  const stop = (await import(url)).default.render({ model, el });
  globalThis.views ??= [];
  views.push({ model, el, stop });
  return views.length - 1;
};
"""


class Mounted:
    """A page of ``server``'s origin, signed in by cookie, in which views can be mounted."""

    def __init__(self, page: Any, server: JupyterServer) -> None:
        self.page = page
        self.server = server
        self.errors: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(f"{server.url}api/status?token={server.token}")
        page.goto(f"{server.url}login")  # sets the XSRF cookie
        html = (
            '<!doctype html><html><head><meta charset="utf-8"><title>views</title>'
            f"<style>{style()}</style><script>{MODEL}</script></head>"
            '<body data-jp-theme-light="true"></body></html>'
        )
        page.route(
            "**/warmcell-views", lambda route: route.fulfill(body=html, content_type="text/html")
        )
        page.goto(f"{server.url}warmcell-views")
        self.status = server.get("warmcell/api/v1/status").json()

    def mount(self, name: str, *, over_http: bool = True, **state: Any) -> Any:
        """Render the view of ``static/<name>``; returns a locator of it."""
        host = self.status["host_id"] if over_http else "another host"
        traits = {"_base_path": f"{self.server.base_url}warmcell/", "_host_id": host, **state}
        self.page.evaluate("([text, state]) => mount(text, state)", [script(name), traits])
        return self.page.locator(".warmcell.wc-live").last

    def sent(self) -> list[dict[str, Any]]:
        """What the last view sent to its kernel."""
        text = self.page.evaluate("JSON.stringify(views.at(-1).model.sent)")
        found: list[dict[str, Any]] = json.loads(text)
        return found

    def receive(self, message: dict[str, Any]) -> None:
        """Have the last view receive a message of its kernel."""
        self.page.evaluate("(message) => views.at(-1).model.receive(message)", message)
