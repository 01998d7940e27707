"""Notebooks without a Jupyter server of ours: the kernel hosts itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.http import Response, request
from tests.support.jupyter import clean_environment

# Reads one cell per line as JSON, runs it in a plain IPython and answers with a line of JSON.
SHELL = """
import json, sys, io, contextlib
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for line in sys.stdin:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        done = shell.run_cell(json.loads(line), store_history=True)
    error = done.error_before_exec or done.error_in_exec
    answer = {"value": repr(done.result), "printed": printed.getvalue(),
              "error": f"{type(error).__name__}: {error}" if error else None}
    sys.__stdout__.write(json.dumps(answer) + "\\n")
    sys.__stdout__.flush()
"""


class PlainShell:
    """A plain IPython in a process of its own."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.home = folder / ".warmcell"
        self.process = subprocess.Popen(
            [sys.executable, "-c", SHELL],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, code: str) -> dict[str, Any]:
        """Run a cell. Raises AssertionError if it raised."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(code) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert answer["error"] is None, answer["error"]
        return answer

    def status(self) -> dict[str, Any]:
        self.run("from warmcell.link import control; import json")
        found: dict[str, Any] = json.loads(
            eval(self.run("json.dumps(control('GET', 'api/v1/status'))")["value"])
        )
        return found

    def kill(self) -> None:
        self.process.kill()
        self.close()

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                stream.close()
        self.process.wait(30)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Callable[[], PlainShell]]:
    """Start plain IPython processes that share a folder."""
    started: list[PlainShell] = []
    folder = tmp_path / "notebooks"
    folder.mkdir()

    def start() -> PlainShell:
        made = PlainShell(folder, clean_environment(tmp_path / "state"))
        started.append(made)
        return made

    yield start
    for made in started:
        if made.process.returncode is None:
            made.close()


def invoke(status: dict[str, Any], home: Path, name: str, parameters: Any) -> Response:
    token = json.loads((home / "embedded.json").read_text())["token"]
    return request(
        "POST",
        f"{status['url']}{name}/invoke",
        json_body={"parameters": parameters},
        headers={"Authorization": f"token {token}"},
    )


DEFINE = "%%pipeline\ndef {0}(x: int) -> int:\n    return x + 1"


def test_a_kernel_without_a_server_hosts_itself(shell: Callable[[], PlainShell]) -> None:
    """It says so in one line, deploys, answers calls with its own token only, and keeps runs."""
    one = shell()
    notice = one.run("%load_ext warmcell")["printed"].strip()
    assert len(notice.splitlines()) == 1
    status = one.status()
    assert status["mode"] == "embedded"
    assert status["url"] in notice
    assert status["url"].startswith("http://127.0.0.1:")
    assert one.home.stat().st_mode & 0o777 == 0o700
    assert (one.home / "embedded.json").stat().st_mode & 0o777 == 0o600
    one.run(DEFINE.format("plus"))
    one.run("plus(1)")
    one.run("plus.deploy('plus')")
    assert invoke(status, one.home, "plus", {"x": 41}).json()["outputs"] == {"output": 42}
    refused = request("POST", f"{status['url']}plus/invoke", json_body={"parameters": {"x": 1}})
    assert refused.status in (401, 403)
    runs = eval(one.run("[r.status for r in __import__('warmcell').Client().list_runs()]")["value"])
    assert runs == ["succeeded", "succeeded"]


def test_a_second_process_joins_and_takes_over(shell: Callable[[], PlainShell]) -> None:
    """Two kernels share a store: the second joins the first, sees its runs, serves its own
    deployments, and owns the store once the first was killed; nothing is lost."""
    one = shell()
    one.run("%load_ext warmcell")
    assert one.status()["role"] == "owner"
    one.run(DEFINE.format("mine"))
    one.run("mine(1)")
    two = shell()
    two.run("%load_ext warmcell")
    joined = two.status()
    assert joined["role"] == "joined"
    count = "len(__import__('warmcell').Client().list_runs())"
    assert two.run(count)["value"] == "1"
    two.run(DEFINE.format("yours"))
    two.run("yours(1)")
    assert one.run(count)["value"] == "2"
    two.run("deployed = yours.deploy('yours')")
    assert eval(two.run("deployed.invoke(x=1)")["value"]) == {"output": 2}

    one.kill()
    two.run("yours(5)")
    assert two.run(count)["value"] == "4"
    assert two.status()["role"] == "owner"
    assert eval(two.run("deployed.invoke(x=2)")["value"]) == {"output": 3}
