"""A Jupyter server in a process of its own, as a user starts it."""

from __future__ import annotations

import atexit
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.http import Response, request
from tests.support.kernels import Kernel

START = 60.0
STOP = 20.0
PLAIN = "jupyter_server"
# TCP ports of kernels are looked for before the kernel takes them; where hundreds of connections
# are made meanwhile, somebody else has one now and then, and the kernel never answers.
TRANSPORT = [] if sys.platform == "win32" else ["--KernelManager.transport=ipc"]
# Loading these takes a fifth of a server's start, and only JupyterLab's own page needs them.
LEFT_OUT = {"jupyterlab": False, "jupyter_lsp": False, "notebook_shim": False}


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago, and that no connection will be given:
    systems take the ports of those from 32768 (Linux) or 49152 up."""
    for _ in range(100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", random.randrange(15_000, 32_000)))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise RuntimeError("no free port found")


def clean_environment(folder: Path) -> dict[str, str]:
    """This process's environment without anything of Jupyter's, IPython's or Warmcell's in it.

    Their folders lie below ``folder``; what is installed beside Python stays visible, so an
    extension is loaded only if its installation enabled it.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JUPYTER", "JPY_", "IPYTHON", "WARMCELL", "PYTEST", "OPENAI"))
    }
    for name in ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        made = folder / name.lower()
        made.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept[name] = str(made)
    # The kernels' sockets lie here, and the path of a socket may have 107 characters.
    kept["JUPYTER_RUNTIME_DIR"] = runtime = tempfile.mkdtemp(prefix="jupyter-")
    atexit.register(shutil.rmtree, runtime, ignore_errors=True)
    return kept


class JupyterServer:
    """One server. ``url`` ends in a slash and includes the base URL.

    ``config`` is written as the server's own configuration file (a dict as in JSON), ``arguments``
    are passed on the command line. Restart with :meth:`start` after :meth:`stop` or :meth:`kill`:
    root folder, port and token stay.
    """

    def __init__(
        self,
        root: Path,
        state: Path,
        *,
        base_url: str = "/",
        token: str = "test-token",
        config: Mapping[str, Any] | None = None,
        arguments: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        application: str = PLAIN,
        ready: str = "warmcell/api/v1/status",
    ) -> None:
        self.root = root
        self.token = token
        self.base_url = base_url
        self.log = state / "server.log"
        self._state = state
        self._arguments = list(arguments)
        self._application = application
        self._ready = ready
        self._process: subprocess.Popen[bytes] | None = None
        self._kernels: list[Kernel] = []
        self.port = free_port()
        root.mkdir(parents=True, exist_ok=True)
        self._environment = {**clean_environment(state), **(environment or {})}
        self._config = Path(self._environment["JUPYTER_CONFIG_DIR"]) / "jupyter_server_config.json"
        self._config.write_text(json.dumps(config or {}))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.base_url}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of the server, for commands that shall find it by themselves."""
        return dict(self._environment)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> JupyterServer:
        """Start, and return once the extension answers. Raises RuntimeError with the log's end."""
        command = [
            sys.executable, "-m", self._application, "--no-browser", "--allow-root",
            "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={self.port}",
            "--ServerApp.port_retries=0", f"--ServerApp.root_dir={self.root}",
            f"--ServerApp.base_url={self.base_url}", f"--IdentityProvider.token={self.token}",
            *([f"--ServerApp.jpserver_extensions={LEFT_OUT}"] * (self._application == PLAIN)),
            *TRANSPORT,
            *self._arguments,
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=self.root,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START
        while not self._answers():
            if self._exited(0.05):
                raise RuntimeError(f"the server ended:\n{self.tail()}")
            if time.monotonic() > deadline:
                tail = self.tail()
                self.kill()
                raise RuntimeError(f"the server does not answer:\n{tail}")
        return self

    def stop(self) -> None:
        """End it as the user does, with its kernels; ``kill -9`` after a while. Idempotent."""
        for kernel in self._kernels:
            kernel.close()
        self._kernels.clear()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            if not self._exited(STOP):
                self.kill()
        self._process = None

    def kill(self) -> None:
        """``kill -9``, without a farewell to anybody."""
        if self._process is not None and self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait(STOP)

    def kernel(self, path: str = "test.ipynb") -> Kernel:
        """Start a kernel for the notebook ``path`` and connect to it. Ends with the server."""
        made = Kernel(self, path)
        self._kernels.append(made)
        return made

    def kernels(self) -> set[str]:
        """The ids of its kernels. Asks again when Jupyter answers 500, as it does while a kernel
        has begun and has no time of last activity yet."""
        for _ in range(50):
            answer = self.get("api/kernels")
            if answer.status != 500:
                return {kernel["id"] for kernel in answer.json()}
        raise RuntimeError(f"no list of kernels: {answer.text}")

    def get(self, path: str, **options: Any) -> Response:
        return self.request("GET", path, **options)

    def post(self, path: str, json_body: Any = None, **options: Any) -> Response:
        return self.request("POST", path, json_body=json_body, **options)

    def delete(self, path: str, **options: Any) -> Response:
        return self.request("DELETE", path, **options)

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        authenticated: bool = True,
        **options: Any,
    ) -> Response:
        """Request ``path``, relative to :attr:`url`, with the token unless told otherwise."""
        sent = dict(headers or {})
        if authenticated:
            sent.setdefault("Authorization", f"token {self.token}")
        return request(method, self.url + path, headers=sent, **options)

    def invoke(self, name: str, parameters: Any = None, **options: Any) -> Response:
        """Call the deployment ``name``."""
        return self.post(f"warmcell/{name}/invoke", {"parameters": parameters or {}}, **options)

    def tail(self, lines: int = 60) -> str:
        """The end of the server's log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _answers(self) -> bool:
        try:
            return self.get(self._ready, timeout=5).status == 200
        except OSError:
            return False

    def _exited(self, seconds: float) -> bool:
        assert self._process is not None
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True
