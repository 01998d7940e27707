"""Servers with one deployment, for the tests of the HTTP edge."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support import gates
from tests.support.http import Response
from tests.support.jupyter import JupyterServer
from tests.support.kernels import Kernel

PROVIDERS = Path(__file__).parent / "providers"
CELLS = """\
%load_ext warmcell

from typing import Annotated, Any, Literal
from warmcell import pipeline, step
import pydantic

class Customer(pydantic.BaseModel):
    name: str
    age: int = 30

@step
def plus(a: int, b: int) -> Annotated[int, "total"]:
    return a + b

@pipeline
def add(a: int, b: int = 2) -> int:
    return plus(a, b)

@step
def fail(kind: str) -> str:
    if kind == "raise":
        raise ValueError("no such kind: <raise>")
    return kind

@pipeline
def risky(kind: str) -> str:
    return fail(kind)

@step
def greet(customer: Customer, mood: str) -> dict:
    return {"text": f"{customer.name} is {mood}"}

@pipeline
def greeting(customer: Customer, mood: Literal["glad", "sad"] = "glad") -> dict:
    return greet(customer, mood)

@step
def opaque() -> Any:
    return object()

@pipeline
def unspeakable() -> Any:
    return opaque()

add.deploy("add")
risky.deploy("risky")
greeting.deploy("greeting")
unspeakable.deploy("unspeakable")
"""


Served = tuple[JupyterServer, Kernel]


class Provided(JupyterServer):
    """A server whose identity provider wants to be told the user."""

    def request(self, method: str, path: str, **options: Any) -> Response:
        if options.get("authenticated", True):
            options["headers"] = {"X-Test-User": "ada", **(options.get("headers") or {})}
        return super().request(method, path, **options)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Served]]:
    """A plain server, one below a base URL, and one with an identity provider and an authorizer of
    its own; with each the kernel that made the deployments of CELLS."""
    path = os.pathsep.join([str(PROVIDERS), os.environ.get("PYTHONPATH", "")])

    def server(kind: type[JupyterServer], name: str, **options: Any) -> JupyterServer:
        folder = tmp_path_factory.mktemp(name)
        return kind(folder / "root", folder, **options)

    servers = {
        "plain": server(JupyterServer, "plain"),
        "based": server(JupyterServer, "based", base_url="/user/ada-42/"),
        "provider": server(
            Provided,
            "provider",
            base_url="/p/",
            environment={"PYTHONPATH": path},
            arguments=[
                "--ServerApp.identity_provider_class=warmcell_test_providers.HeaderProvider",
                "--ServerApp.authorizer_class=warmcell_test_providers.ByUser",
            ],
        ),
    }

    def start(server: JupyterServer) -> Served:
        author = server.start().kernel("author.ipynb")
        author.run(CELLS)
        return server, author

    with ThreadPoolExecutor() as pool:
        try:
            yield dict(zip(servers, pool.map(start, servers.values()), strict=True))
        finally:
            list(pool.map(lambda server: server.stop(), servers.values()))


@pytest.fixture(scope="session")
def author(served: dict[str, Served]) -> Kernel:
    """The kernel that made the deployments of the plain server."""
    return served["plain"][1]


@pytest.fixture(scope="session")
def serving(served: dict[str, Served]) -> JupyterServer:
    """A plain server with the deployments of CELLS."""
    return served["plain"][0]


@pytest.fixture(scope="session")
def gated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A server with the deployments of :mod:`tests.support.gates`, under several settings."""
    folder = tmp_path_factory.mktemp("gated")
    server = JupyterServer(folder / "root", folder).start()
    try:
        kernel = server.kernel("gated.ipynb")
        kernel.run(gates.CELLS)
        kernel.run(
            "held.deploy('held')\n"
            "polite.deploy('polite')\n"
            "awaiting.deploy('awaiting')\n"
            "held.deploy('single', concurrency=1, max_queue=2)\n"
            "held.deploy('unrecorded', record='none')\n"
            "held.deploy('impatient', cancel_on_disconnect=True)\n"
            "held.deploy('pool-a', pool='gpu0')\n"
            "held.deploy('pool-b', pool='gpu0')"
        )
        yield server
    finally:
        server.stop()


@pytest.fixture
def lonely(gated: JupyterServer) -> Iterator[Callable[[str], Kernel]]:
    """Deploy `held` under a name from a kernel that has no other deployment."""
    kernels = []

    def deploy(name: str) -> Kernel:
        kernel = gated.kernel(f"{name}-{len(kernels)}.ipynb")
        kernels.append(kernel)
        kernel.run(gates.CELLS)
        kernel.run(f"held_deployment = held.deploy('{name}', concurrency=1, overtake=True)")
        return kernel

    yield deploy
    for kernel in kernels:
        kernel.close()
