"""A restored deployment answers byte for byte as the live one did, whatever it was made of."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import duckdb
import pytest

from tests.support.gates import wait_until
from tests.support.http import Response
from tests.support.jupyter import JupyterServer

OWN = re.compile(rb'("(?:run_id|run_name|execution_time)":)("[^"]*"|[^,}]*)')
IMPORTS = """\
%load_ext warmcell
import abc, collections, contextlib, dataclasses, enum, functools, math, operator, typing
import numpy as np, pandas as pd, pydantic
from typing import Annotated
from warmcell import get_pipeline_context, pipeline, step
k = 4
"""
KINDS = {
    "helpers": """
def outer():
    def mid(y):
        def inner(z): return z * k
        return inner(y) + 1
    return mid
nested, square = outer(), lambda v: v * v
def even(n): return n == 0 or odd(n - 1)
def odd(n): return n != 0 and even(n - 1)
@step
def work(x: int) -> dict: return {"a": nested(x), "b": square(x), "c": even(x)}
""",
    "decorated": """
def twice(f):
    @functools.wraps(f)
    def inner(*a): return f(f(*a) + k)
    return inner
@twice
def plus(v): return v + 1
@functools.lru_cache(maxsize=None)
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
@functools.singledispatch
def kind(v): return "other"
@kind.register
def _(v: int): return f"int {k}"
@step
def work(x: int) -> dict: return {"a": plus(x), "b": fib(x + 20), "c": kind(x), "d": plus.__name__}
""",
    "partial": """
def scale(a, b, c=1): return a * b + c + k
scaled, item = functools.partial(scale, 3, c=7), operator.itemgetter("v")
@step
def work(x: int) -> list: return [scaled(x), item({"v": x}), list(map(scaled, range(x)))]
""",
    "classes": """
class Base(abc.ABC):
    @abc.abstractmethod
    def get(self, x): ...
class Mine(Base):
    __slots__ = ("f",)
    def __init__(self, f): self.f = f
    def get(self, x): return self.f * x * k
    @property
    def double(self): return 2 * self.f
class Level(enum.IntFlag):
    LOW = 1
    HIGH = 2
mine = Mine(5)
@step
def work(x: int) -> list: return [mine.get(x), mine.double, str(Level.LOW | Level.HIGH)]
""",
    "dataclasses": """
@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    tags: list = dataclasses.field(default_factory=lambda: [k])
class Named(typing.NamedTuple):
    a: int
    b: float = 0.1
@dataclasses.dataclass
class Out:
    point: Point
    named: Named
@step
def work(x: int) -> Out: return Out(Point(x), Named(x))
""",
    "models": """
class Item(pydantic.BaseModel):
    n: int = pydantic.Field(ge=0, description="how many")
    @pydantic.field_validator("n")
    @classmethod
    def more(cls, v): return v + k
T = typing.TypeVar("T")
class Page(pydantic.BaseModel, typing.Generic[T]):
    items: list[T]
    @pydantic.computed_field
    @property
    def total(self) -> int: return len(self.items) * k
@step
def work(x: int) -> Page[Item]: return Page[Item](items=[{"n": x}, Item(n=1)])
""",
    "modules": """
import fidelity_helper as helper
from fidelity_helper import shout as loud
@step
def work(x: int) -> dict:
    import fidelity_package.inner as inner
    return {"a": helper.scaled(x), "b": loud("a"), "c": inner.value(x), "d": math.floor(x + 0.5)}
""",
    "frames": """
df = pd.DataFrame({"a": np.arange(100_000.0), "s": ["x", "y"] * 50_000})
means = df.groupby("s")["a"].mean()
@step
def work(x: int) -> dict:
    return {"a": float(df.a[x]), "b": means.to_dict(), "c": df.head(x).to_dict("records")}
""",
    "arrays": """
W = np.random.default_rng(0).random((300, 300)); V = W[::2]
table = {"w": W, "t": 0.5, "small": np.arange(3)}
@step
def work(x: int) -> dict:
    return {"a": float((W @ W)[x, x]), "b": float(V[x].sum()), "c": (table["small"] * x).tolist()}
""",
    "forest": """
from sklearn.ensemble import RandomForestClassifier
X = np.random.default_rng(1).random((200, 4)); y = (X.sum(1) > 2).astype(int)
model = RandomForestClassifier(20, random_state=0).fit(X, y)
@step
def work(x: int) -> list: return model.predict_proba(X[: x + 1]).tolist()
""",
    "transformers": """
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
class Shift(BaseEstimator, TransformerMixin):
    def __init__(self, by=1): self.by = by
    def fit(self, X, y=None): return self
    def transform(self, X): return X + self.by + k
def logged(X): return np.log1p(X) * k
Z = np.random.default_rng(2).random((50, 3))
chain = make_pipeline(FunctionTransformer(logged), Shift(2), StandardScaler(), LinearRegression())
chain.fit(Z, Z.sum(1))
@step
def work(x: int) -> list: return chain.predict(Z[: x + 1]).tolist()
""",
    "state": """
def load(): return {"factor": 3, "con": __import__("duckdb").connect()}
@step
def work(x: int) -> dict:
    state = get_pipeline_context().pipeline_state
    return {"a": x * state["factor"], "b": state["con"].execute("select 6 * 7").fetchone()[0]}
""",
    "generators": """
def numbers(n):
    for i in range(n): yield i * k
async def soon(v): return v + k
@step
def total(x: int) -> int: return sum(numbers(x))
@step
async def work(x: int) -> dict: return {"a": await soon(x), "b": [v async for v in _later(x)]}
async def _later(n):
    for i in range(n): yield i
""",
    "random": """
rng = np.random.default_rng(7)
@step
def work(x: int) -> list:
    import copy
    return copy.deepcopy(rng).random(x).tolist()
""",
    "shell": """
@step
def work(x: int) -> list:
    lines = !echo {x}
    return list(lines)
""",
    "errors": """
class Refused(ValueError):
    def __init__(self, x): super().__init__(f"refused {x} of {k}")
@step
def work(x: int) -> int:
    if x > 2: raise Refused(x)
    return x
""",
}
HELPER = "K = 4\ndef scaled(x):\n    return x * K\ndef shout(text):\n    return text.upper() * K\n"


def body(answer: Response) -> tuple[int, bytes]:
    """Status and bytes of an answer without what every run has of its own."""
    return answer.status, OWN.sub(rb"\1-", answer.body)


def answers(server: JupyterServer) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in KINDS:
        for x in (1, 3):
            found[f"{name}({x})"] = body(server.invoke(name, {"x": x}))
        found[f"{name} wrong"] = body(server.invoke(name, {"x": "no number"}))
    return found


def described(server: JupyterServer, name: str) -> dict[str, Any]:
    found: dict[str, Any] = server.get(f"warmcell/api/v1/deployments/{name}").json()
    return found


@pytest.mark.timeout(300)
def test_restored_answers_are_the_same_bytes(start_server: Callable[..., JupyterServer]) -> None:
    """Every kind of pipeline from one kernel; the notebook changes, the local modules go, the
    kernel is killed, and answers and validation errors stay the same to the byte. An edited module
    is told by the drift and by the next deploy. Other package versions are told when restored."""
    server = start_server()
    package = server.root / "fidelity_package"
    package.mkdir()
    (server.root / "fidelity_helper.py").write_text(HELPER)
    (package / "__init__.py").write_text("")
    (package / "inner.py").write_text("from . import deep\ndef value(x): return deep.D + x\n")
    (package / "deep.py").write_text("D = 100\n")
    kernel = server.kernel("fidelity.ipynb")
    kernel.run(IMPORTS)
    for name, cell in KINDS.items():
        kernel.run(cell.replace("work(", f"{name}_work("))
        hook = ", on_init=load" if name == "state" else ""
        kernel.run(
            f"@pipeline(name={name!r}{hook})\ndef {name}(x: int):\n    return {name}_work(x)\n"
            f"deployed = {name}.deploy({name!r})"
        )
    before = answers(server)
    assert {key for key, (status, _) in before.items() if status != 200} == {
        "errors(3)",
        *(f"{name} wrong" for name in KINDS),
    }
    for name in KINDS:
        wait_until(lambda name=name: described(server, name)["stored"] == "stored")
        notes = described(server, name)["notes"]
        assert ["uses the shell" in note for note in notes] == [True] * (name == "shell"), notes

    (server.root / "fidelity_helper.py").write_text(HELPER.replace("x * K", "x + K"))
    drift = server.get("warmcell/api/v1/deployments/modules/drift").json()
    assert set(drift["drifted"]) == {"helper", "loud"}
    says = {entry["name"]: entry["says"] for entry in drift["names"]}
    assert (
        says["helper"] == "fidelity_helper.py was changed and not reloaded; calls run the old code."
    )
    kernel.run("k = 40; W[:] = W; mine.f = 9; chain.fit(Z, -Z.sum(1)); model.fit(X, 1 - y); df = 0")
    for path in (*package.iterdir(), server.root / "fidelity_helper.py"):
        if path.is_file():
            path.unlink()
    assert answers(server) == before

    kernel.kill()
    wait_until(lambda: described(server, "helpers")["worker_pid"] != kernel.pid)
    assert answers(server) == before
    assert {described(server, name)["served_by"] for name in KINDS} == {"dedicated"}

    for name in KINDS.keys() - {"forest", "arrays"}:
        server.delete(f"warmcell/api/v1/deployments/{name}")
    server.stop()
    (database,) = server.root.glob(".warmcell/*.duckdb")
    with duckdb.connect(str(database)) as store:
        ((text,),) = store.execute(
            "SELECT environment FROM snapshots WHERE pipeline = 'forest'"
        ).fetchall()
        recorded = json.loads(text)
        recorded["packages"]["scikit-learn"] = "0.1"
        recorded["packages"]["no-such-package"] = "2.0"
        store.execute(
            "UPDATE data.snapshots SET environment = ? WHERE pipeline = 'forest'",
            [json.dumps(recorded)],
        )
    server.start()
    for name in ("forest", "arrays"):
        assert body(server.invoke(name, {"x": 3})) == before[f"{name}(3)"]
    (note,) = described(server, "forest")["notes"]
    assert "scikit-learn 0.1 -> " in note
    assert "no-such-package 2.0 -> none" in note
    assert "install the recorded versions, or deploy again" in note
    assert described(server, "arrays")["notes"] == []
