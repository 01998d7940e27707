"""The command line, in processes of its own, with a real server and real kernels."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.support.http import request
from tests.support.jupyter import JupyterServer, clean_environment

LIMIT = 120.0

MODULE = '''\
"""Pipelines of a plain module."""

from collections.abc import Iterator

from warmcell import get_step_context, pipeline, report_progress, step


@step
def forecast(city: str, days: int) -> str:
    print("looking up", city)
    if city == "Atlantis":
        raise ValueError("there is no weather under water")
    return f"{city}: {days} sunny days"


@pipeline
def weather_agent(city: str, days: int = 2) -> str:
    return forecast(city, days)


@step
def words(text: str) -> Iterator[str]:
    for number, word in enumerate(text.split()):
        report_progress(number, message=word)
        yield word


@pipeline
def speaking(text: str, timeout: str = "none") -> list:
    return words(text)


@step
def wait() -> str:
    import time
    while not get_step_context().cancelled:
        time.sleep(0.01)
    return "stopped"


@pipeline
def waiting() -> str:
    return wait()


not_a_pipeline = 3
'''
BROKEN = "from warmcell import pipeline\n\nvalue = {}['missing key']\n"
NOTEBOOK = [
    "%load_ext warmcell",
    "from warmcell import get_step_context\nfactor = 3",
    "%%step\ndef triple(n: float) -> float:\n    return n * factor",
    "%%pipeline\ndef tripling(n: float) -> float:\n    return triple(n)",
    "tripling.deploy('from-the-cell')\nopen('reached', 'w').close()",
]
SPOILT = ["%load_ext warmcell", "1 / 0", "%%pipeline\ndef never(): pass"]


@dataclass
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Command = Callable[..., Ended]


@pytest.fixture(scope="module")
def server(jupyter_server: JupyterServer) -> JupyterServer:
    """A server whose folder has a module and notebooks."""
    root = jupyter_server.root
    (root / "run.py").write_text(MODULE)
    (root / "broken.py").write_text(BROKEN)
    (root / "deadly.py").write_text("import os\n\nos._exit(3)\n")
    for name, cells in (("triple", NOTEBOOK), ("spoilt", SPOILT)):
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        nbformat.write(made, root / f"{name}.ipynb")
    return jupyter_server


def start(words: tuple[str, ...], folder: Path, environment: dict[str, str]) -> Any:
    return subprocess.Popen(
        [sys.executable, "-m", "warmcell", *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.fixture(scope="module")
def warmcell(server: JupyterServer) -> Command:
    """Run a command in the server's folder, to its end. Nothing tells it where the server is."""

    def run(*words: str, text: str = "", code: int | None = 0, **environment: str) -> Ended:
        process = start(words, server.root, {**server.environment, **environment})
        out, err = process.communicate(text, timeout=LIMIT)
        ended = Ended(process.returncode, out, err)
        assert code is None or ended.code == code, f"{ended}\n{server.tail(20)}"
        return ended

    return run


@pytest.fixture(scope="module")
def agent(warmcell: Command) -> str:
    """The weather agent, deployed from its module."""
    ended = warmcell("pipeline", "deploy", "run.weather_agent", "--name", "weather",
                     "--set", "concurrency=2", "--set", "app_title=Weather")  # fmt: skip
    assert ended.out.strip().endswith("/warmcell/weather/")
    return "weather"


@pytest.fixture(scope="module")
def served(warmcell: Command, agent: str) -> Iterator[None]:
    """Some more pipelines of the module."""
    warmcell("pipeline", "deploy", "run:speaking")
    warmcell("pipeline", "deploy", "run.py::waiting")
    yield
    warmcell("deployment", "delete", "waiting")


class TestDeploy:
    def test_a_module_is_served(self, warmcell: Command, server: JupyterServer, agent: str) -> None:
        """A module's pipeline is served from a kernel of its own, with its settings."""
        answer = server.invoke(agent, {"city": "Rome"})
        assert answer.json()["outputs"] == {"output": "Rome: 2 sunny days"}
        described = warmcell("deployment", "describe", agent, "--json").json()
        assert described["settings"]["concurrency"] == 2
        assert described["worker"] == "run.weather_agent"

    def test_a_notebook_is_served(self, warmcell: Command, server: JupyterServer) -> None:
        """Of a notebook, the cells up to the pipeline run, and nothing behind it."""
        before = server.kernels()
        made = warmcell(
            "pipeline", "deploy", "triple.ipynb::tripling", "--name", "tripling", "--json"
        ).json()
        assert (made["name"], made["notebook"]) == ("tripling", "triple.ipynb::tripling")
        called = warmcell("deployment", "invoke", "tripling", "--n=14")
        assert called.out == "42.0\n"
        assert not (server.root / "reached").exists()
        (own,) = server.kernels() - before
        warmcell("deployment", "delete", "tripling")
        wait_until(lambda: own not in server.kernels())

    def test_deploying_again_replaces(self, warmcell: Command, server: JupyterServer) -> None:
        """A deployment of a dedicated kernel is replaced; the kernel of what is not warm ends."""
        (server.root / "changing.py").write_text(
            "from warmcell import pipeline, step\n"
            "@step\ndef one() -> int:\n    return 1\n"
            "@pipeline\ndef changing() -> int:\n    return one()\n"
        )
        warmcell("pipeline", "deploy", "changing.changing")
        text = (server.root / "changing.py").read_text().replace("return 1", "return 2")
        (server.root / "changing.py").write_text(text)
        warmcell("pipeline", "deploy", "changing.changing")
        assert warmcell("deployment", "invoke", "changing").out == "2\n"
        warmcell("deployment", "rollback", "changing")
        assert warmcell("deployment", "invoke", "changing").out == "1\n"
        warmcell("deployment", "delete", "changing")

    def test_a_notebook_that_serves_keeps_its_name(
        self, warmcell: Command, server: JupyterServer
    ) -> None:
        """What a notebook serves is taken over only when that is said."""
        author = server.kernel("author.ipynb")
        author.run("%load_ext warmcell\nimport run\nrun.weather_agent.deploy('mine')")
        before = server.kernels()
        refused = warmcell("pipeline", "deploy", "run.weather_agent", "--name", "mine", code=1)
        assert "author.ipynb" in refused.err
        assert "Traceback" not in refused.err
        assert server.kernels() == before
        warmcell("pipeline", "deploy", "run.weather_agent", "--name", "mine", "--overtake")
        assert warmcell("deployment", "describe", "mine", "--json").json()["worker"] == (
            "run.weather_agent"
        )
        warmcell("deployment", "delete", "mine")

    def test_in_kernels_of_its_own(self, warmcell: Command, server: JupyterServer) -> None:
        """The kernel that loaded it ends, and only after it has said that all went well."""
        before = server.kernels()
        words = ("pipeline", "deploy", "run.weather_agent", "--name", "apart", "--set")
        made = warmcell(*words, "isolated=true", "--set", "keep_alive=true")
        assert made.out.strip().endswith("/warmcell/apart/")
        assert warmcell("deployment", "invoke", "apart", "--city=x").out == "x: 2 sunny days\n"
        wait_until(lambda: len(server.kernels() - before) == 1)
        shown = warmcell("deployment", "describe", "apart").out
        assert re.search(r"^replicas +1 of 1$", shown, re.MULTILINE)
        ended = warmcell(*words, "replicas=1000", code=2)
        assert "'replicas' does not fit" in ended.err
        warmcell("deployment", "delete", "apart")
        wait_until(lambda: server.kernels() <= before)

    def test_a_kernel_that_dies(self, warmcell: Command, server: JupyterServer) -> None:
        """A dedicated kernel that dies is replaced by another, and calls are answered again."""
        before = server.kernels()
        made = warmcell("pipeline", "deploy", "run.weather_agent", "--name", "mortal", "--json")
        pid = made.json()["worker_pid"]
        path = "warmcell/api/v1/deployments/mortal"
        wait_until(lambda: server.get(path).json()["stored"] == "stored")
        os.kill(pid, signal.SIGKILL)

        def restored() -> bool:
            found = server.get(path).json()
            return bool(found["ready"]) and found["worker_pid"] != pid

        wait_until(restored)
        assert warmcell("deployment", "invoke", "mortal", "--city=x").out == "x: 2 sunny days\n"
        warmcell("deployment", "delete", "mortal")
        wait_until(lambda: server.kernels() <= before)

    @pytest.mark.parametrize(
        ("target", "code", "said"),
        [
            ("run.weather_agnt", 2, "Did you mean `weather_agent`"),
            ("run.not_a_pipeline", 2, "that is a int"),
            ("nowhere.pipeline", 2, "There is no module 'nowhere'"),
            ("run", 2, "names no pipeline"),
            ("triple.ipynb::tripled", 2, "Did you mean `tripling`"),
            ("nothing.ipynb::x", 2, "There is no notebook"),
            ("run.py::nothing", 2, "Pipelines there:"),
            ("spoilt.ipynb::never", 1, "Cell 2 of spoilt.ipynb raised ZeroDivisionError"),
            ("broken.pipeline", 1, "KeyError: 'missing key'"),
            ("deadly.pipeline", 1, "The kernel died while it ran the code of deadly.pipeline."),
        ],
    )
    def test_what_cannot_be_loaded_says_why(
        self, warmcell: Command, server: JupyterServer, target: str, code: int, said: str
    ) -> None:
        """The error names what was wrong, in the user's own lines, and no kernel stays."""
        before = server.kernels()
        ended = warmcell("pipeline", "deploy", target, code=code)
        assert said in ended.err
        assert server.invoke("from-the-cell", {"n": 1}).status == 404  # the cells only define
        if target == "broken.pipeline":
            assert "value = {}['missing key']" in ended.err
        assert "site-packages" not in ended.err
        assert "dedicated.py" not in ended.err
        assert server.kernels() <= before

    def test_misspelt_settings(self, warmcell: Command) -> None:
        """An unknown setting names the right one."""
        ended = warmcell("pipeline", "deploy", "run.speaking", "--set", "concurency=3", code=2)
        assert "concurrency" in ended.err


class TestRun:
    def test_a_pipeline_runs_once(self, warmcell: Command, server: JupyterServer) -> None:
        """Outputs go to standard output, what steps print beside; the run is in the history."""
        before = server.kernels()
        ended = warmcell("pipeline", "run", "run.weather_agent", "--city=Oslo", "--days", "4")
        assert ended.out == "Oslo: 4 sunny days\n"
        assert "looking up Oslo" in ended.err
        newest = warmcell("runs", "list", "--limit", "1", "--json").json()[0]
        assert (newest["pipeline"], newest["trigger"]) == ("weather_agent", "command")
        assert server.kernels() <= before

    def test_a_failing_run(self, warmcell: Command) -> None:
        """A run that fails says where, and ends with 1."""
        ended = warmcell("pipeline", "run", "run.weather_agent", "--city=Atlantis", code=1)
        assert "Step 'forecast' raised ValueError: there is no weather under water" in ended.err
        told = warmcell("pipeline", "run", "run.weather_agent", "--city=Atlantis", "--json", code=1)
        assert told.json()["status"] == "failed"
        assert json.loads(told.err)["error"]["step"] == "forecast"

    def test_wrong_parameters(self, warmcell: Command) -> None:
        """Wrong parameters make no run."""
        assert "'city' is required" in warmcell("pipeline", "run", "run.weather_agent", code=2).err
        ended = warmcell("pipeline", "run", "run.weather_agent", "--town=Rome", code=2)
        assert "There is no parameter 'town'" in ended.err

    def test_an_interrupt_ends_the_kernel(self, server: JupyterServer, served: None) -> None:
        """Ctrl-C at the command ends what it started."""
        before = server.kernels()
        process = start(("pipeline", "run", "run.waiting"), server.root, server.environment)
        wait_until(lambda: bool(server.kernels() - before))
        os.kill(process.pid, signal.SIGINT)
        process.communicate(timeout=LIMIT)
        assert process.returncode == 130
        wait_until(lambda: server.kernels() <= before)


class TestInvoke:
    def test_parameters_are_read_by_the_schema(self, warmcell: Command, agent: str) -> None:
        """Text stays text, numbers become numbers; JSON, a file and standard input will do too."""
        assert warmcell("deployment", "invoke", agent, "--city=12", "--days=3").out == (
            "12: 3 sunny days\n"
        )
        given = '{"city": "Bonn"}'
        for words, text in (
            (("-p", given), ""),
            (("-p", "-"), given),
            (("-p", given, "--days", "2"), ""),
        ):
            ended = warmcell("deployment", "invoke", agent, *words, text=text)
            assert ended.out == "Bonn: 2 sunny days\n"

    def test_parameters_called_like_options(self, warmcell: Command, served: None) -> None:
        """Behind a lone -- every name is a parameter."""
        ended = warmcell("deployment", "invoke", "speaking", "--json", "--", "--text=a b",
                         "--timeout=soon")  # fmt: skip
        assert ended.json()["metadata"]["parameters_used"] == {"text": "a b", "timeout": "soon"}

    def test_a_run_is_started_and_awaited(self, warmcell: Command, agent: str) -> None:
        """--no-wait prints the run's id; the run is awaited, shown, and listed."""
        run_id = warmcell("deployment", "invoke", agent, "--city=Graz", "--no-wait").out.strip()
        assert warmcell("runs", "wait", run_id).out == "Graz: 2 sunny days\n"
        shown = warmcell("runs", "show", run_id).out
        assert "forecast" in shown
        assert "looking up Graz" in shown
        assert run_id in warmcell("runs", "list", "--deployment", agent).out
        assert run_id not in warmcell("runs", "list", "--tag", "nothing").out

    def test_a_run_is_cancelled(self, warmcell: Command, served: None) -> None:
        """A run that goes on is cancelled; waiting for it then ends with 1, a second time too."""
        started = warmcell("deployment", "invoke", "waiting", "--no-wait", "--json").json()
        run_id = started["run_id"]
        assert warmcell("runs", "wait", run_id, "--timeout", "0.1", code=7).out == ""
        warmcell("runs", "cancel", run_id)
        assert "cancelled" in warmcell("runs", "wait", run_id, code=1).err
        warmcell("runs", "cancel", run_id, code=1)

    def test_a_run_is_streamed(self, warmcell: Command, served: None) -> None:
        """What a step yields comes line by line, progress beside it; events as JSON lines."""
        ended = warmcell("deployment", "invoke", "speaking", "--text=to be", "--stream")
        assert ended.out == "to\nbe\n"
        assert "[words]" in ended.err
        told = warmcell("deployment", "invoke", "speaking", "--text=x", "--stream", "--json").out
        events = [json.loads(line) for line in told.splitlines()]
        assert events[0]["event"] == "run"
        assert events[-1]["event"] == "done"
        run_id = events[0]["data"]["run_id"]
        followed = warmcell("runs", "follow", run_id)
        assert followed.out == "x\n"

    @pytest.mark.parametrize(
        ("words", "code", "said"),
        [
            (("deployment", "invoke", "nobody"), 3, "nobody"),
            (("deployment", "invoke", "weather"), 2, "'city' is required"),
            (("deployment", "invoke", "weather", "--citty=x"), 2, "Did you mean --city"),
            (("deployment", "invoke", "weather", "--city=Atlantis"), 1, "under water"),
            (("deployment", "invoke", "waiting", "--timeout", "0.2"), 7, "within 0.2 s"),
            (("deployment", "invoke"), 2, "Which deployment"),
            (("deployment", "list", "stray"), 2, "does not take 'stray'"),
            (("deployment", "list", "--url", "http://127.0.0.1:9/"), 4, "No answer"),
            (("deployment", "list", "--key", "wck_x"), 2, "url"),
            (("deployment", "bogus"), 2, "bogus"),
            (("runs", "show", "nope"), 3, "nope"),
        ],
    )
    def test_errors_have_their_codes(
        self, warmcell: Command, served: None, words: tuple[str, ...], code: int, said: str
    ) -> None:
        """Each kind of failure has an exit code, and one line that says it."""
        ended = warmcell(*words, code=code)
        assert said in ended.err
        assert ended.out == ""
        assert "Traceback" not in ended.err


class TestManage:
    def test_what_is_deployed(self, warmcell: Command, agent: str) -> None:
        """list, describe and status show what is served."""
        listed = warmcell("deployment", "list").out
        assert "weather_agent" in listed
        assert [d["name"] for d in warmcell("deployment", "list", "--pipeline", "weather_agent",
                                            "--json").json()] == [agent]  # fmt: skip
        described = warmcell("deployment", "describe", agent).out
        assert "--city string" in described
        assert "curl -X POST" in described
        schema = warmcell("deployment", "describe", agent, "--schema").json()
        assert schema["required"] == ["city"]
        (status,) = warmcell("status", "--json").json()
        assert agent in status["deployments"]

    def test_logs(self, warmcell: Command, server: JupyterServer, agent: str) -> None:
        """logs prints what runs wrote, -f goes on as more is written."""
        server.invoke(agent, {"city": "Lund"})
        assert "looking up Lund" in warmcell("deployment", "logs", agent, "--tail", "1").out
        process = start(("deployment", "logs", agent, "-f", "--json"), server.root,
                        server.environment)  # fmt: skip
        stop = threading.Timer(LIMIT, process.kill)
        stop.start()
        try:
            assert process.stdout.readline()  # what was there before
            server.invoke(agent, {"city": "Kyiv"})
            texts = (json.loads(line)["text"] for line in process.stdout)
            assert next(text for text in texts if "Kyiv" in text)
        finally:
            stop.cancel()
            os.kill(process.pid, signal.SIGINT)
            process.communicate(timeout=LIMIT)
        assert process.returncode == 130

    def test_keys(self, warmcell: Command, server: JupyterServer, agent: str) -> None:
        """A key is made, opens its deployment by URL, is listed and revoked."""
        key = warmcell(
            "keys", "create", agent, "front", "--scope", "invoke", "--expires-in", "1h"
        ).out.strip()
        url = f"{server.url}warmcell/{agent}/"
        words = ("deployment", "invoke", "--url", url, "--key", key, "--city=88")
        assert warmcell(*words).out == "88: 2 sunny days\n"
        refused = warmcell("deployment", "list", "--url", server.url, "--key", key, code=5)
        assert refused.out == ""
        listed = warmcell("deployment", "keys", "list", agent).out
        assert "front" in listed
        assert key not in listed
        warmcell("keys", "revoke", agent, "front")
        warmcell(*words, code=5)

    def test_the_shell_of_a_notebook(self, server: JupyterServer, agent: str) -> None:
        """!warmcell in a cell finds the server of its notebook."""
        kernel = server.kernel("shell.ipynb")
        cell = kernel.run(f"!{sys.executable} -m warmcell deployment invoke {agent} --city=Ulm")
        assert "Ulm: 2 sunny days" in cell.stdout


class TestServe:
    def test_a_server_is_started_once(self, tmp_path: Path) -> None:
        """serve says where it serves; a second one finds the first; SIGTERM ends it."""
        folder = tmp_path / "project"
        folder.mkdir()
        environment = clean_environment(tmp_path / "state")
        words = ("serve", "--json", "--port", "0", "--allow-root", "--IdentityProvider.token=abc")
        process = start(words, folder, environment)
        stop = threading.Timer(LIMIT, process.kill)
        stop.start()
        try:
            told = json.loads(process.stdout.readline())
            assert told["already"] is False
            assert Path(told["home"]) == folder / ".warmcell"
            answer = request(
                "GET", f"{told['url']}api/v1/status", headers={"Authorization": "token abc"}
            )
            assert answer.status == 200
            again = start(("serve", "--json"), folder, environment)
            out, _ = again.communicate(timeout=LIMIT)
            assert json.loads(out) == {**told, "already": True}
            assert again.returncode == 0
            process.terminate()
            process.communicate(timeout=LIMIT)
            assert process.returncode == 0
        finally:
            stop.cancel()
            if process.poll() is None:
                process.kill()
                process.communicate()
        nobody = start(("deployment", "list"), folder, environment)
        _, err = nobody.communicate(timeout=LIMIT)
        assert nobody.returncode == 4
        assert "warmcell serve" in err


def test_the_history_goes_out_and_comes_in(
    warmcell: Command, server: JupyterServer, agent: str
) -> None:
    """As Parquet, into a folder that is named from here; again, nothing comes twice."""
    server.invoke(agent, {"city": "Bergen"})
    made = warmcell("store", "export", "history", "--json").json()
    folder = server.root / "history"
    assert made["folder"] == str(folder.resolve())
    assert made["tables"]["runs"] > 0
    assert made["blobs"] > 0
    assert (folder / "runs.parquet").is_file()
    came = warmcell("store", "import", "history", "--json").json()
    assert not any(came["tables"].values())
    assert "nothing new" in warmcell("store", "import", "history").out
    assert "not empty" in warmcell("store", "export", "history", code=None).err
    assert "runs" in warmcell("store", "export", "--no-files").out


def test_a_kernel_that_hosts_itself(tmp_path: Path) -> None:
    """Without a server, the host inside a kernel is found by its store; it starts no kernels."""
    environment = clean_environment(tmp_path / "state")
    (tmp_path / "run.py").write_text(MODULE)
    code = (
        "import run, sys\nprint(run.weather_agent.deploy('weather').url, flush=True)\n"
        "sys.stdin.readline()"
    )
    host = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(tmp_path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert host.stdout is not None
        while "/warmcell/weather/" not in (line := host.stdout.readline()):
            assert line, "the host ended"
        called = start(("deployment", "invoke", "weather", "--city=Bern"), tmp_path, environment)
        assert called.communicate(timeout=LIMIT)[0] == "Bern: 2 sunny days\n"
        refused = start(("pipeline", "deploy", "run.speaking"), tmp_path, environment)
        _, err = refused.communicate(timeout=LIMIT)
        assert refused.returncode == 1
        assert "warmcell serve" in err
    finally:
        host.communicate("\n", timeout=LIMIT)


def wait_until(fact: Callable[[], bool]) -> None:
    """Wait for a change that nothing announces."""
    ended = threading.Event()
    for _ in range(int(LIMIT / 0.1)):
        if fact():
            return
        ended.wait(0.1)
    raise AssertionError("it did not come to pass")


class TestChanges:
    def test_snapshots_their_differences_and_history(
        self, warmcell: Command, server: JupyterServer
    ) -> None:
        """What was deployed and by whom, what differs, what drifted; a snapshot as a notebook."""
        author = server.kernel("changing.ipynb")
        author.run("%load_ext warmcell\nfrom warmcell import pipeline\nfactor = 2")
        author.run("@pipeline\ndef doubling(x: int) -> int:\n    return x * factor")
        author.run("doubling.deploy(note='twice')")
        author.run("factor = 3\ndoubling.deploy(note='thrice')")
        listed = warmcell("snapshots", "list", "--pipeline", "doubling", "--json").json()
        assert [(one["number"], one["note"]) for one in listed] == [(2, "thrice"), (1, "twice")]
        assert "thrice" in warmcell("snapshots", "list").out
        assert "+factor = 3" in warmcell("deployment", "diff", "doubling", "1", "2", code=1).out
        assert "no difference" in warmcell("deployment", "diff", "doubling").out
        author.run("factor = 4")
        drift = warmcell("deployment", "drift", "doubling", "--json").json()
        assert drift["drifted"] == ["factor"]
        assert "calls use the old one" in warmcell("deployment", "drift", "doubling").out
        warmcell("deployment", "rollback", "doubling", "--to", "1")
        assert "rolled back" in warmcell("deployment", "history", "doubling").out
        history = warmcell("deployment", "history", "doubling", "--json").json()
        assert [line["event"] for line in history] == [
            "deployment.rolled_back",
            *["deployment.deployed"] * 2,
        ]
        assert warmcell("snapshots", "open", "doubling@1").out == "doubling@1.ipynb\n"
        made = nbformat.read(server.root / "doubling@1.ipynb", as_version=4)
        assert "factor = 2" in "".join(cell.source for cell in made.cells)
        warmcell("snapshots", "open", "doubling", code=2)
        author.close()

    def test_a_note_of_a_command(self, warmcell: Command) -> None:
        """A pipeline of a module is deployed with a note, and can drift from nothing."""
        warmcell("pipeline", "deploy", "run.weather_agent", "--name", "noted", "--note", "mine")
        assert warmcell("deployment", "describe", "noted", "--json").json()["note"] == "mine"
        assert warmcell("deployment", "drift", "noted", "--json").json()["drifted"] == []
        warmcell("deployment", "delete", "noted")
