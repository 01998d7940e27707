"""Every notebook of the repository runs from top to bottom, without a Jupyter server around it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.support.jupyter import clean_environment


class Executed:
    """An executed notebook, asked cell by cell."""

    def __init__(self, path: Path) -> None:
        self._cells = {cell["id"]: cell for cell in nbformat.read(path, as_version=4).cells}

    def text(self, cell: str) -> str:
        """All that the cell put out, as plain text."""
        found = []
        for output in self._cells[cell].outputs:
            if output.output_type == "stream":
                found.append(output.text)
            else:
                found.append(output.data.get("text/plain", ""))
        return "\n".join(found)

    def types(self, cell: str) -> set[str]:
        """The MIME types that the cell put out."""
        return {
            kind
            for output in self._cells[cell].outputs
            if output.output_type != "stream"
            for kind in output.data
        }


@pytest.fixture
def execute(
    notebook: Callable[[str], Path], tmp_path: Path
) -> Callable[[str, dict[str, str]], Executed]:
    """Run a notebook with nbclient in a process of its own."""

    def run(name: str, environment: dict[str, str]) -> Executed:
        path = notebook(name)
        done = subprocess.run(
            [sys.executable, "-c", "from nbclient.cli import main; main()", "--inplace", path.name],
            cwd=path.parent,
            env={**clean_environment(tmp_path), **environment},
            capture_output=True,
            text=True,
            timeout=150,
        )
        assert done.returncode == 0, done.stderr
        return Executed(path)

    return run


def test_releases(execute: Callable[..., Executed]) -> None:
    """A newcomer is deployed beside, shadows, gets customers, is aborted by its errors; the next
    one is promoted."""
    done = execute("releases.ipynb", {})
    assert "'version': 1" in done.text("beside")
    shadows = re.search(r"(\d) same, (\d) different, 0 failed, (\d) dropped", done.text("shadow"))
    assert shadows is not None
    same, different, dropped = map(int, shadows.groups())
    assert (same, different + dropped) == (0, 5)
    assert "Counter({1: " in done.text("split")
    assert "2: " in done.text("split")
    assert "stay with their snapshot by customer" in done.text("sticky")
    assert "error_rate allows 10.0%" in done.text("abort")
    assert "'version': 1, 'total': -12.0" in done.text("abort")
    assert "output.total: changed in" in done.text("backtest")
    assert "largest 1 (0.8%)" in done.text("backtest")
    assert "text/html" in done.types("backtest")
    assert "(at most 2.0%). Nothing was changed" in done.text("gate")
    assert "'version': 3, 'total': -12.1" in done.text("promote")
    events = done.text("history").split()
    assert events[-3:] == ["deployment.deployed", "release.promoted", "deployment.rolled_back"]
    assert "release.aborted" in events


def test_record(execute: Callable[..., Executed]) -> None:
    """Artifacts, caching, lineage, stages that are followed, SQL, golden sets: each cell does what
    its text says, and no secret is in it."""
    done = execute("record.ipynb", {"WARMCELL_ENABLE_CACHE": "1"})
    assert "['candidate', 'good'] 1.0" in done.text("found")
    assert "[ True, False]" in done.text("found")
    assert "customers reused" in done.text("cached")
    assert "train parameter strength is not as in run" in done.text("cached")
    assert "{'output': 'published to the shelf'}" in done.text("resumed")
    assert "churn-model@2 [artifact] ← train" in done.text("lineage")
    assert "('COMPLETE', 'training.train')" in done.text("openlineage")
    assert "* train.fit.strength: 1.0 | 0.001" in done.text("tags")
    assert "'version': '1'" in done.text("deploy")
    assert "'version': '2'" in done.text("promoted")
    assert done.text("moves").splitlines()[:2] == [
        "1 -> 2 simpler",
        "None -> 1 the first one that works",
    ]
    assert "output.leaves" in done.text("calls")
    assert "churn-model" in done.text("sql")
    assert "True" in done.text("table")
    assert "0 changed (0.0%), 0 failed, 5 the same" in done.text("golden")
    assert "asking with **redacted**" in done.text("secret")
    assert "'dry_run': True" in done.text("prune")
    assert "400 customers" in done.text("logs")
    assert "runs exported" in done.text("export")
    assert "golden::churn-cases" in done.text("history")


def test_quickstart(execute: Callable[..., Executed]) -> None:
    """The quickstart trains, deploys, calls, edits and redeploys, in a kernel that hosts itself,
    and its outputs are the ones that its text speaks of."""
    done = execute("quickstart.ipynb", {})
    assert "hosts itself" in done.text("load")
    assert "0.937" in done.text("train")
    assert "screening" in done.text("deploy-code")
    if shutil.which("curl"):
        answer = json.loads(done.text("curl").strip().splitlines()[-1])
        assert answer["outputs"] == {"output": {"malignant": False, "probability": 0.333}}
    assert "'malignant': False" in done.text("client")
    assert "text/html" in done.types("history")
    assert "call" in done.text("sql")
    assert "cell" in done.text("sql")
    assert "'malignant': True" in done.text("edited-run")
    assert "'malignant': False" in done.text("unchanged")
    assert "'malignant': True" in done.text("redeploy")


def test_serving(execute: Callable[..., Executed]) -> None:
    """What the notebook on serving promises, cell by cell."""
    done = execute("serving.ipynb", {})
    assert "'letters': 8" in done.text("submit")
    assert "cancelled" in done.text("cancel")
    assert done.text("stream").split()[:3] == ["whether", "tis", "nobler"]
    assert "[7, 3, 6]" in done.text("stream")
    assert "'word': 'mind'" in done.text("async")
    assert "ParameterError('/parameters/text" in done.text("batch")
    assert "6 runs were taken" in done.text("full")
    assert "True" in done.text("key")
    assert "401" in done.text("revoke")
    assert "troubles,8" in done.text("csv")
    assert "200 observed" in done.text("middleware")
    assert "400 Please do not shout." in done.text("middleware")
    assert "{'word': 'perchance', 'letters': 18}" in done.text("call-endpoint")
    assert "key:tables" in done.text("history")
    assert "count waits" in done.text("replay")
    assert "(failed on snapshot" in done.text("rerun")
    assert "(succeeded on snapshot" in done.text("rerun")


def test_weather_agent_without_a_key(execute: Callable[..., Executed]) -> None:
    """Without a key the agent says that rules wrote the advice, and refuses what does not fit."""
    done = execute("weather_agent.ipynb", {})
    assert done.text("call").count("'written_by': 'rules'") == 3
    assert "/parameters/town" in done.text("errors")


def test_weather_agent_with_a_language_model(
    execute: Callable[..., Executed], language_model: str
) -> None:
    """With a key the model's own words are the advice, and its name is in the answer."""
    key = "a-key-of-the-test"
    environment = {
        "OPENAI_API_KEY": key,
        "OPENAI_BASE_URL": language_model,
        "OPENAI_MODEL": "tiny",
    }
    done = execute("weather_agent.ipynb", environment)
    assert done.text("call").count("Enjoy the walk.") == 3
    assert done.text("call").count("'written_by': 'tiny'") == 3


@pytest.fixture
def language_model() -> Any:
    """A server that speaks as much of the OpenAI protocol as the notebook needs."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Model(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            reply = {"choices": [{"message": {"role": "assistant", "content": "Enjoy the walk."}}]}
            body = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()
