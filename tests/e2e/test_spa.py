"""A single-page app served beside its pipeline, in a real browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.jupyter import JupyterServer

INDEX = """<!doctype html>
<html><head>
<title>Doubler</title>
<link rel="stylesheet" href="/assets/app.css">
<script src="assets/plain.js"></script>
<script type="module" src="./assets/app.js"></script>
</head><body>
<form id="form"><input id="x" value="21"><button>Double</button></form>
<p id="answer"></p><p id="endpoint"></p><p id="plain"></p><p id="other"></p><p id="login"></p>
<a id="top" href="#top">top</a><a id="about" href="about.html">about</a>
</body></html>
"""
APP = """
import { show } from "./show.js";
document.getElementById("form").addEventListener("submit", async event => {
  event.preventDefault();
  const { output } = await warmcell.invoke({ x: Number(document.getElementById("x").value) });
  show("answer", output);
  const named = await warmcell.fetch("names/7");
  show("endpoint", await named.text());
});
const key = document.querySelector("meta[name=warmcell-key]").content;
const refused = async (path, headers) => {
  try {
    const answer = await fetch(new URL(path, warmcell.url), { headers, credentials: "include" });
    return answer.status;
  } catch (error) {
    return "kept off";
  }
};
show("other", await refused("runs", { Authorization: `Bearer ${key}` }));
show("login", await refused("../../api/kernels", {}));
"""
FILES = {
    "index.html": INDEX,
    "about.html": "<!doctype html><head></head><p id='about'>About us</p>",
    "assets/app.css": "#answer { color: rgb(1, 2, 3) }",
    "assets/app.js": APP,
    "assets/show.js": "export const show = (id, text) => {\n"
    "  document.getElementById(id).textContent = String(text);\n};",
    "assets/plain.js": "addEventListener('load', () => {\n"
    "  document.getElementById('plain').textContent = self.origin;\n});",
}
CELLS = [
    "%load_ext warmcell",
    "%%step\ndef twice(x: int) -> int:\n    return 2 * x",
    "%%pipeline --dashboard-files-path web\ndef double(x: int):\n    return twice(x)",
    "%%endpoint GET /names/{id} --pipeline double\ndef name(id: int):\n    return f'n{id}'",
    "%deploy double",
]


def test_a_front_end_calls_its_pipeline(
    start_server: Callable[..., JupyterServer], tmp_path: Path, page: Any
) -> None:
    """A page with scripts, modules and styles works in its sandbox: it calls the pipeline and an
    endpoint with its key, and can neither see runs nor use the login of who looks at it."""
    for path, text in FILES.items():
        target = tmp_path / "root" / "web" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    server = start_server(base_url="/user/ada/")
    author = server.kernel("author.ipynb")
    for cell in CELLS:
        author.run(cell)
    page.goto(f"{server.url}api/status?token={server.token}")  # logs in
    page.goto(f"{server.url}warmcell/double/")
    assert page.title() == "Doubler"
    page.get_by_role("button", name="Double").click()
    page.get_by_text("42", exact=True).wait_for()
    page.get_by_text('"n7"').wait_for()
    colour = page.locator("#answer").evaluate("node => getComputedStyle(node).color")
    assert colour == "rgb(1, 2, 3)"
    assert page.locator("#plain").inner_text() == "null"
    assert page.locator("#other").inner_text() in ("403", "kept off")
    assert page.locator("#login").inner_text() == "kept off"
    page.locator("#about").click()
    page.get_by_text("About us").wait_for()
    assert page.url == f"{server.url}warmcell/double/about.html"
    page.go_back()
    page.locator("#top").click()
    page.wait_for_url("**/warmcell/double/#top")
    page.get_by_role("button", name="Double").click()
    page.get_by_text("42", exact=True).wait_for()
    (run, *_) = server.get("warmcell/double/runs").json()["runs"]
    assert (run["status"], run["outputs"]) == ("succeeded", {"output": 42})
    assert run["user"].startswith("page:")
