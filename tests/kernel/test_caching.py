"""Runs in a notebook that take the results of earlier ones, and say why not where they do not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.shells import Notebook, notebook
from tests.support.gates import wait_until
from warmcell import link
from warmcell.caching import CachePolicy
from warmcell.caching.key import digest_of
from warmcell.client import Client
from warmcell.errors import ArtifactError, Conflict, DefinitionError, NotFound, UsageError
from warmcell.ids import new_id, now
from warmcell.runner import CancelToken
from warmcell.runner.execution import Execution
from warmcell.runs import Run
from warmcell.steps import step

SETUP = """
%load_ext warmcell
import asyncio
from pathlib import Path
from typing import Annotated
import numpy as np
import pandas as pd
from sklearn.linear_model import LinearRegression
from warmcell import CachePolicy, Client, ExternalArtifact, load_artifact, pipeline, resume
from warmcell import save_artifact, step, unmapped

factor = 2

def helper(x):
    return x * factor

@step
def load(n: int) -> list:
    print("ran load")
    return [helper(i) for i in range(n)]

@step
def total(rows: list) -> int:
    print("ran total")
    return sum(rows)

@pipeline
def sums(n: int = 3):
    return total(load(n))
"""


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """A notebook with an embedded host, where caching is as it is by default."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WARMCELL_CONNECTION", "JPY_PARENT_PID", "WARMCELL_ENABLE_CACHE"):
            patch.delenv(name, raising=False)
        for name in ("WARMCELL_URL", "WARMCELL_TOKEN", "WARMCELL_KEY"):
            patch.delenv(name, raising=False)
        patch.setenv("WARMCELL_HOME", str(folder))
        patch.setenv("WARMCELL_KEY_DIR", str(folder / "key"))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        with notebook() as made:
            made(SETUP)
            yield made
            made("%unload_ext warmcell")
            link.kernel().close()


def cached(run: Run) -> dict[str, bool]:
    """Which steps took the results of an earlier run."""
    return {one.name: one.cached is not None for one in run.steps}


def reasons(run: Run) -> dict[str, Any]:
    """Why steps ran, of those that did."""
    return {one.name: one.uncached for one in run.steps if one.cached is None}


@pytest.fixture(scope="module")
def first(cell: Notebook) -> Run:
    """The first run of ``sums``."""
    run: Run = cell("sums(3)")
    assert cell.shown.count("ran ") == 2
    return run


def test_a_run_takes_what_is_there_already(cell: Notebook, first: Run) -> None:
    """Nothing runs the second time; the run, live and in the history, has the same outputs and
    artifact versions, and names the run that they came from."""
    again = cell("sums(3)")
    assert "ran " not in cell.shown
    assert again.output == first.output == 6
    assert cached(again) == {"load": True, "total": True}
    assert {one.cached for one in again.steps} == {first.id}
    stored = Client().get_run(again.id)
    assert [one.cached for one in stored.steps] == [first.id, first.id]
    assert [one.status for one in stored.steps] == ["succeeded", "succeeded"]
    versions = [one["version_id"] for one in Client().get_run(first.id).artifacts]
    assert [one["version_id"] for one in stored.artifacts] == versions
    assert [one["value"] for one in stored.artifacts] == [[0, 2, 4], 6]
    rows = Client().sql(f"SELECT step, cached FROM steps WHERE run_id = '{again.id}' ORDER BY 1")
    assert rows.rows == [["load", first.id], ["total", first.id]]
    third = cell("sums(3)")
    assert {one.cached for one in third.steps} == {first.id}  # not the run between


def test_who_watches_a_run_is_told_what_it_takes(cell: Notebook, first: Run) -> None:
    """The event of the end of such a step names the run that its results are of."""
    events: list[dict[str, Any]] = []
    pipeline = cell["sums"]
    run = Execution(
        pipeline, {"n": 3}, run_id=new_id(), token=CancelToken(), listener=events.append
    )
    (node, _) = pipeline.graph().nodes
    run.began(node, now())
    run.reused(node, now(), first.id, [])
    assert [(one["step"], one["status"], one.get("cached")) for one in events] == [
        ("load", "running", None),
        ("load", "succeeded", first.id),
    ]


def test_the_first_run_says_that_there_was_nothing(first: Run) -> None:
    """Every step that ran says why."""
    assert set(reasons(first).values()) == {"there are no results of it yet"}


@pytest.mark.parametrize(
    ("edit", "call", "ran", "why"),
    [
        ("", "sums(4)", {"load", "total"}, "parameter n is not as in run"),
        ("factor = 5", "sums(3)", {"load", "total"}, "global factor is not as in run"),
        (
            "def helper(x):\n    return x + factor",
            "sums(3)",
            {"load", "total"},
            "code is not as in run",
        ),
        (
            "@step\ndef total(rows: list) -> int:\n    print('ran total')\n    return max(rows)",
            "sums(3)",
            {"total"},
            "code is not as in run",
        ),
    ],
    ids=["parameter", "global", "helper", "code"],
)
def test_what_changed_runs_and_is_named(
    cell: Notebook, first: Run, edit: str, call: str, ran: set[str], why: str
) -> None:
    """A parameter, a global, a helper and the code itself: the steps concerned run, and say what
    is different."""
    cell(edit)
    run = cell(call)
    assert {name for name, taken in cached(run).items() if not taken} == ran
    assert {f"ran {name}" in cell.shown for name in ran} == {True}
    assert why in reasons(run)[sorted(ran)[0]]
    cell(SETUP.partition("factor = 2")[2].join(["factor = 2", ""]))
    assert all(cached(cell("sums(3)")).values())


def test_an_input_counts_by_its_value(cell: Notebook) -> None:
    """A step before it that ran, but gave the same, changes nothing for the one after it."""
    cell(
        "@step\ndef given(seed: int) -> list:\n    return [7]\n"
        "@pipeline\ndef by_value(seed: int):\n    return total(given(seed))\n"
        "one = by_value(1)"
    )
    run = cell("by_value(2)")
    assert cached(run) == {"given": False, "total": True}


def test_the_nearest_word_counts(cell: Notebook, first: Run) -> None:
    """``enable_cache`` of the run, else of the step, else of the pipeline."""
    assert reasons(cell("sums(3, enable_cache=False)"))["load"] == "caching is off for this run"
    cell("other = sums.with_options(enable_cache=False)")
    assert reasons(cell("other(3)")) == {
        "load": "caching is off for this pipeline",
        "total": "caching is off for this pipeline",
    }
    cell("load.configure(enable_cache=True)")
    assert cached(cell("other(3)")) == {"load": True, "total": False}
    cell("load.configure(enable_cache=False)")
    assert reasons(cell("sums(3)")) == {"load": "caching is off for this step"}
    assert all(cached(cell("sums(3, enable_cache=True)")).values())
    cell("load.configure(enable_cache=None)")


def test_magics_have_the_same_options(cell: Notebook) -> None:
    """``--no-cache`` and ``--cache-policy`` of ``%%step`` and ``%%pipeline``."""
    cell("%%step fresh(n) -> m --no-cache\nm = n + 1")
    cell("lasting = CachePolicy(ignored_inputs='n')")
    cell("%%step kept_on(n) -> m --cache-policy lasting\nm = n + 1")
    cell("%%pipeline\ndef by_magic(n: int):\n    return fresh(n), kept_on(n)")
    cell("by_magic(1)")
    run = cell("by_magic(2)")
    assert reasons(run) == {"fresh": "caching is off for this step"}
    assert run.output == (3, 2)


def test_policies_say_what_counts(cell: Notebook, tmp_path: Path) -> None:
    """Ignored inputs, files, a function of one's own and an age."""
    file = tmp_path / "rates.csv"
    file.write_text("1")
    cell(
        f"rates = {str(file)!r}\nsaid = ['a']\n"
        "def stamp():\n    return Path(rates + '.stamp').read_text()\n"
        "Path(rates + '.stamp').write_text('a')\n"
        "@step(cache_policy=CachePolicy(ignored_inputs=['note'], file_dependencies=[rates],"
        " cache_func=stamp))\n"
        "def rated(n: int, note: str) -> int:\n    return n\n"
        "@pipeline\ndef policed(n: int, note: str):\n    return rated(n, note)\n"
        "one = policed(1, 'x')"
    )
    assert cached(cell("policed(1, 'y')")) == {"rated": True}
    file.write_text("2")
    assert f"file {file} is not as in" in reasons(cell("policed(1, 'y')"))["rated"]
    cell("Path(rates + '.stamp').write_text('b')")
    assert "cache_func is not as in" in reasons(cell("policed(1, 'y')"))["rated"]
    assert cached(cell("policed(1, 'y')")) == {"rated": True}
    cell("rated.configure(cache_policy={'ignored_inputs': 'note', 'expires_after': 1e-6})")
    cell("policed(2, 'y')")
    assert "too old" in reasons(cell("policed(2, 'y')"))["rated"]
    cell("rated.configure(cache_policy={'file_dependencies': 'nowhere.csv'})")
    error = cell.fails("policed(1, 'y')")
    assert "the file 'nowhere.csv', which cannot be read" in str(error)
    assert Client().list_runs(pipeline="policed", limit=1)[0].error["step"] == "rated"  # type: ignore[index]


def test_a_policy_of_a_pipeline_holds_for_steps_that_have_none(cell: Notebook) -> None:
    """What it ignores may be an input of some of them only."""
    cell(
        "@pipeline(cache_policy={'ignored_inputs': ['n']})\n"
        "def lax(n: int):\n    return total(load(n))\n"
        "one = lax(21)"
    )
    run = cell("lax(22)")
    assert cached(run) == {"load": True, "total": True}
    assert run.output == cell["one"].output


def test_a_wrong_policy_is_an_error_where_it_is_written() -> None:
    """Not in the middle of a run."""

    def function(n: int) -> int:
        return n

    with pytest.raises(UsageError, match="ignores 'm', which is no input"):
        step(cache_policy=CachePolicy(ignored_inputs=["m"]))(function)
    with pytest.raises(UsageError, match="cache_policy"):
        step(cache_policy="sometimes")(function)
    with pytest.raises(DefinitionError, match="`enable_cache` is True or False"):
        step(enable_cache="yes")(function)


FORMS = """
@step
def frame(n: int) -> pd.DataFrame:
    print("ran frame")
    return pd.DataFrame({"a": np.arange(n) * 1.5})

@step
def both(f: pd.DataFrame) -> tuple[int, float]:
    print("ran both")
    return len(f), float(f.a.mean())

@step
def join(a: int, b: float, *rest: int) -> dict:
    print("ran join")
    return {"a": a, "b": b, "rest": list(rest)}

@step
def fit(f: pd.DataFrame) -> LinearRegression:
    print("ran fit")
    return LinearRegression().fit(f[["a"]], f.a * 2)

@step
def predict(model: LinearRegression, x: float) -> float:
    print("ran predict")
    return float(model.predict(pd.DataFrame({"a": [x]}))[0])

@step
async def slowly(x: int) -> int:
    print("ran slowly")
    await asyncio.sleep(0)
    return x + 1

@step
def words(n: int):
    print("ran words")
    yield from ["w"] * n

@step
def silent(x: int) -> None:
    print("ran silent")

@pipeline
def branches(n: int = 10):
    f = frame(n)
    a, b = both(f)
    return join(a, b, a), predict(fit(f), 3.0)

@pipeline
def eager(n: int = 10):
    f = frame(n)
    if len(f) > 5:
        a, b = both(f)
        return join(a, b)

@pipeline
def mapped():
    sums = [one.result() for one in total.map([[1, 2], [3], [4, 5]])]
    return join(sums[0], 0.5, *sums)

@pipeline
def mixed(n: int = 2):
    silent(n)
    return slowly(n), words(n)

@pipeline
async def awaited(n: int = 4):
    return await slowly(n)
"""


@pytest.mark.parametrize("name", ["branches", "eager", "mapped", "mixed", "awaited"])
def test_every_form_of_a_pipeline_is_cached(cell: Notebook, name: str) -> None:
    """Branches, several outputs, models, eager bodies, maps, async steps, generators, steps
    without a value: all of it is taken the second time, with the same values."""
    if name not in cell:
        cell(FORMS)
    one = cell(f"{name}()")
    two = cell(f"{name}()")
    assert "ran " not in cell.shown
    assert all(cached(two).values())
    assert two.output == one.output


def test_only_what_is_needed_is_loaded(cell: Notebook) -> None:
    """A value between two cached steps is not looked at: the run succeeds although it is damaged.
    Where it is needed, its step runs again, says so, and its new results count from then on."""
    cell(
        "@step\ndef large(n: int) -> np.ndarray:\n    print('ran large')\n"
        "    return np.arange(float(n))\n"
        "@step\ndef mean(a: np.ndarray, by: int = 1) -> float:\n"
        "    print('ran mean')\n    return float(a.mean()) / by\n"
        "@pipeline\ndef deep(by: int = 1):\n    return mean(large(100_000), by)\n"
        "one = deep()"
    )
    version = Client().get_run(cell["one"].id).artifacts[0]["version_id"]
    (path,) = Client().get_artifact_version(version).fetch().values()
    data = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(data[:-1] + b"!")
    assert all(cached(cell("deep()")).values())
    run = cell("deep(2)")
    assert "ran large" in cell.shown
    assert run.output == cell["one"].output / 2
    assert any("cannot be read, so `large` runs" in line["text"] for line in run.logs)
    assert "cannot be read" in reasons(run)["large"]
    assert cached(cell("deep(3)")) == {"large": True, "mean": False}


def test_what_was_deleted_runs_again(cell: Notebook) -> None:
    """An artifact version that is gone is no result, whatever the cache says."""
    cell(
        "@step\ndef short_lived(n: int) -> int:\n    return n\n"
        "@pipeline\ndef brief(n: int):\n    return short_lived(n)\n"
        "one = brief(1)"
    )
    Client().get_artifact_version("brief::short_lived::output").delete()
    assert reasons(cell("brief(1)")) == {"short_lived": "there are no results of it yet"}
    assert Client().clear_cache(pipeline="brief") == 1
    assert reasons(cell("brief(1)")) == {"short_lived": "there are no results of it yet"}


def test_a_step_whose_output_is_refused_says_so_each_time(cell: Notebook) -> None:
    """Not that there are no results yet, as if the next run had some; once that is put right, it
    is taken like any other."""
    cell(
        "import threading\n"
        "@step\ndef lock(n: int) -> Annotated[object, 'the-lock']:\n"
        "    return threading.Lock()\n"
        "@step\ndef other(n: int) -> int:\n    return n\n"
        "@pipeline\ndef locking(n: int = 1):\n    lock(n)\n    return other(n)\n"
        "one = locking()"
    )
    before = cell["one"].id
    for _ in range(2):
        run = cell("locking()")
        said = reasons(run)["lock"]
        assert f"its output `the-lock` is not kept, as in run {before}: A value of type" in said
        assert cached(run)["other"]
        before = run.id
    error = cell.fails("load_artifact('the-lock')")
    assert isinstance(error, Conflict)
    assert "was not kept" in str(error)
    assert "Ask again" not in str(error)
    error = cell.fails("Client().list_artifact_versions('the-lock')[0].load()")
    assert isinstance(error, ArtifactError)
    assert "was not kept" in str(error)
    cell("@step\ndef lock(n: int) -> Annotated[object, 'the-lock']:\n    return n\n")
    cell("locking()")
    assert cached(cell("locking()"))["lock"]


def test_artifacts_that_are_handed_in_count_by_their_content(cell: Notebook) -> None:
    """A version, an external artifact by name and one by value."""
    cell(
        "@pipeline\ndef handed(rows):\n    return total(rows)\n"
        "one = save_artifact([1, 2], 'handed-rows')\n"
        "two = save_artifact([1, 2], 'handed-rows')\n"
        "three = save_artifact([9], 'handed-rows')\n"
        "handed(one)"
    )
    assert cached(cell("handed(two)")) == {"total": True}
    assert cached(cell("handed(three)")) == {"total": False}
    assert cached(cell("handed(ExternalArtifact(name='handed-rows'))")) == {"total": True}
    cell("handed(ExternalArtifact([4, 4]))")
    assert cached(cell("handed(ExternalArtifact([4, 4]))")) == {"total": True}


IN_PLACE = """
@step
def given() -> list:
    return [1, 2, 3]

@step
def changing(rows: list) -> int:
    rows.append({})
    return 1

@step
def looking(rows: list, changed: int) -> int:
    return sum(rows)

@pipeline
def in_place():
    rows = given()
    return looking(rows, changing(rows))

"""
IN_TURN = """
@pipeline
def in_turn(often: int = 1):
    rows = given()
    if often > 0:
        changed = changing(rows)
    return looking(rows, changed)
"""


@pytest.mark.parametrize("name", ["in_place", "in_turn"])
def test_a_step_that_changes_what_others_take_is_not_taken_again(cell: Notebook, name: str) -> None:
    """Its work would be missing where it is reused: it runs, and those who take the same run."""
    for factor, expected in ((10, 16), (10, 16), (1000, 1006)):
        cell((IN_PLACE + IN_TURN).format(factor))
        run = cell(f"{name}()")
        assert run.output == expected
        assert {"changing", "looking"} <= reasons(run).keys()
    assert cached(run)["given"]
    assert "it changes input rows in place" in reasons(run)["changing"]
    assert "step `changing` changes in place what step `given` gave" in reasons(run)["looking"]


@pytest.mark.parametrize(
    "read", ["load_artifact('asked-for')", "Client().get_artifact_version('asked-for').load()"]
)
def test_a_step_that_looks_up_the_newest_version_is_not_taken_again(
    cell: Notebook, read: str
) -> None:
    """Another one may be the newest by then; a number of a version means the same for ever."""
    cell(f"""
@step
def asking(n: int) -> int:
    return {read}["limit"]

@step
def sure(n: int) -> int:
    return load_artifact("asked-for", 1)["limit"]

@pipeline
def limits(n: int = 1):
    return asking(n), sure(n)
""")
    for limit in (1, 2):
        cell(f"save_artifact({{'limit': {limit}}}, 'asked-for')")
        newest = cell("load_artifact('asked-for')")
        run = cell("limits()")
        assert run.output[0] == newest["limit"] == limit
        assert "looks up artifact 'asked-for' itself" in reasons(run)["asking"]
    assert cached(run)["sure"]


MOVING = """
made = Client().create_model_version("moved", "a")
made.set_stage("production")
link_artifact_to_model(save_artifact({"limit": 1}, "bound").id, Model("moved", version="a"))
held = Model("moved", version="production")

@step
def exact(n: int) -> str:
    log_metadata({"seen": n}, infer_model=True)
    return Client().get_model_version("moved", "a").name

@step
def numbered(n: int) -> int:
    return Client().get_model_version("moved", 1).get_artifact("bound", 1).load()["limit"]
"""


@pytest.mark.parametrize(
    ("read", "what"),
    [
        ("Client().get_model_version('moved', 'production').name", "version 'production' of model"),
        ("Client().get_model_version('moved').name", "version 'latest' of model 'moved'"),
        ("Model('moved', version='production').number", "version 'production' of model"),
        ("held.number", "version 'production' of model"),
        ("held.load_artifact('bound')['limit']", "version 'production' of model"),
        ("Model('moved', version='a').load_artifact('bound')", "artifact 'bound' of model"),
        ("get_pipeline_context().model.get_artifact('bound').load()", "artifact 'bound' of model"),
        ("get_step_context().model.get_data_artifact('bound').id", "artifact 'bound' of model"),
        ("len(Client().list_model_versions('moved'))", "the versions of model 'moved'"),
    ],
)
def test_a_step_that_looks_up_what_moves_of_a_model_is_not_taken_again(
    cell: Notebook, read: str, what: str
) -> None:
    """A stage, the newest version and what belongs to one may be another next time; a label or a
    number means the same for ever, and to log about the model of the run reads nothing."""
    if "held" not in cell:
        cell(
            "from warmcell import Model, get_pipeline_context, get_step_context\n"
            "from warmcell import link_artifact_to_model, log_metadata\n" + MOVING
        )
    cell(f"""
@step
def moving(n: int) -> object:
    return {read}

@pipeline(model=Model("moved", version="production"))
def reading(n: int = 1):
    return moving(n), exact(n), numbered(n)
one = reading()
""")
    run = cell("reading()")
    assert f"it looks up {what}" in reasons(run)["moving"]
    assert run.output[1:] == ("a", 1)
    assert cached(run) == {"moving": False, "exact": True, "numbered": True}


def test_a_step_that_changes_a_global_is_not_taken_again(cell: Notebook) -> None:
    """What it did to the notebook would be missing where it is reused."""
    cell("""
seen = []

@step
def remembering(n: int) -> int:
    seen.append(n)
    return len(seen)

@pipeline
def memory(n: int = 1):
    return remembering(n)
""")
    run = cell("memory()")
    assert "it changes global seen in place" in reasons(run)["remembering"]
    cell("seen = []")
    run = cell("memory()")
    assert (run.output, cached(run)) == (1, {"remembering": False})
    assert cell("seen") == [1]


def test_a_value_without_a_hash_is_never_taken_for_another(cell: Notebook) -> None:
    """It is said which one it is."""
    cell(
        "import sqlite3\nopened = sqlite3.connect(':memory:')\n"
        "@step\ndef reads(n: int) -> int:\n    opened.execute('SELECT 1')\n    return n\n"
        "@pipeline\ndef unhashed(n: int):\n    return reads(n)\n"
        "one = unhashed(1)"
    )
    run = cell("unhashed(1)")
    assert "global `opened`" in reasons(run)["reads"]
    cell("opened.close()")


RESUMED = """
broken = True

@step(enable_cache=False)
def costly(n: int, scale: float = 1.0) -> float:
    print("ran costly")
    return n * scale

@step
def fragile(x: float) -> float:
    print("ran fragile")
    if broken:
        raise ValueError("broken")
    return x + 1

@step
def after(x: float) -> float:
    print("ran after")
    return x * 2

@pipeline
def long(n: int, scale: float = 2.0):
    return after(fragile(costly(n, scale)))
"""


def test_a_run_goes_on_where_it_failed(cell: Notebook) -> None:
    """``resume`` gives what was given, and takes what succeeded, also of steps that are never
    cached; what was corrected runs."""
    cell(RESUMED)
    cell.fails("long(20, scale=3)")
    failed = Client().list_runs(pipeline="long", limit=1)[0]
    cell("broken = False")
    run = cell(f"resume({failed.id!r})")
    assert run.output == 122.0
    assert cached(run) == {"costly": True, "fragile": False, "after": False}
    assert "ran costly" not in cell.shown
    assert Client().get_run(run.id).origin == failed.id
    again = cell(f"long.resume(Client().get_run({run.id!r}))")
    assert all(cached(again).values())
    partly = cell(f"long.resume({run.id!r}, from_step='fragile')")
    assert cached(partly) == {"costly": True, "fragile": False, "after": False}
    other = cell(f"resume({run.id!r}, parameters={{'scale': 4.0}})")
    assert other.output == 162.0
    assert cached(other)["costly"] is False


def test_a_run_starts_from_a_step(cell: Notebook) -> None:
    """That step and what depends on it run, what is before it is taken, cached or not."""
    cell(RESUMED + "\nbroken = False\none = long(30)")
    run = cell("long.run(30, from_step='fragile')")
    assert cached(run) == {"costly": True, "fragile": False, "after": False}
    assert reasons(run)["after"] == "the run starts from step `fragile`"
    assert all(cached(cell("long.run(30, from_step='after', enable_cache=True)")).values()) is False
    error = cell.fails("long.run(30, from_step='fragil')")
    assert isinstance(error, UsageError)
    assert "Did you mean `fragile`?" in str(error)


def test_what_cannot_be_resumed_says_so(cell: Notebook, first: Run) -> None:
    """An unknown run, one of another pipeline, one that this notebook has no pipeline for."""
    assert isinstance(cell.fails("resume('nothing')"), NotFound)
    error = cell.fails(f"long.resume({first.id!r})")
    assert "is one of pipeline 'sums', not of 'long'" in str(error)
    cell("@pipeline\ndef gone(n: int):\n    return load(n)\none = gone(1); del gone")
    assert isinstance(cell.fails("resume(one)"), UsageError)
    error = cell.fails(f"sums.resume({first.id!r}, parameters={{'m': 1}})")
    assert "has no parameter `m`" in str(error)


def test_a_call_of_a_deployment_is_not_cached(cell: Notebook) -> None:
    """Served calls run every step, and are repeated by ``rerun``."""
    cell("sums.deploy('sums')")
    client = Client()
    runs = [client.invoke("sums", n=3) for _ in range(2)]
    assert runs[0] == runs[1]
    served = client.get_run(client.list_runs(deployment="sums", limit=1)[0].id)
    assert [(one.cached, one.uncached) for one in served.steps] == [(None, None)] * 2
    error = cell.fails(f"sums.resume({served.id!r})")
    assert isinstance(error, Conflict)
    assert ".rerun()" in str(error)


def test_calls_are_cached_where_the_deployment_asks_for_it(cell: Notebook) -> None:
    """A call takes what an earlier one kept, and so does a run in a cell."""
    cell(
        "@step\ndef slow(n: int) -> list:\n    print('ran slow')\n    return [n] * 20_000\n"
        "@step\ndef tail(rows: list) -> int:\n    return rows[-1]\n"
        "@pipeline\ndef called(n: int):\n    return tail(slow(n))\n"
        "called.deploy('called', artifacts='all', enable_cache=True)"
    )
    client = Client()
    answer = client.invoke("called", n=5)

    def taken() -> bool:
        """Whether the next call takes what was kept: it is written after its caller was told."""
        assert client.invoke("called", n=5) == answer
        return all(cached(client.get_run(client.list_runs(limit=1)[0].id)).values())

    assert cached(client.get_run(client.list_runs(limit=1)[0].id)) == {"slow": False, "tail": False}
    wait_until(taken)
    assert all(cached(cell("called(5)")).values())
    assert "ran slow" not in cell.shown
    error = cell.fails("called.deploy('called', enable_cache=True)")
    assert "no outputs are kept" in str(error)


def test_nothing_is_cached_where_the_environment_says_so(
    cell: Notebook, first: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps that say nothing run; those that ask for it are cached still."""
    monkeypatch.setenv("WARMCELL_ENABLE_CACHE", "0")
    run = cell("sums(3)")
    assert cached(run) == {"load": False, "total": False}
    assert set(reasons(run).values()) == {None}
    assert all(cached(cell("sums(3, enable_cache=True)")).values())


def test_variables_of_a_step_count(cell: Notebook) -> None:
    """Those of the step, of its pipeline and of named secrets; of no value is a digest kept that
    could be guessed."""
    cell(
        "import os\nfrom warmcell.secrets import set_secret\n"
        "set_secret('cached-token', 'over-there-2')\n"
        "@step(environment={'REGION': 'eu'}, secrets=['cached-token'])\n"
        "def regional(n: int) -> str:\n"
        "    return os.environ['REGION'] + os.environ['ZONE'] + os.environ['cached-token'][-1]\n"
        "@pipeline(environment={'ZONE': 'a'})\ndef regions(n: int = 1):\n    return regional(n)\n"
        "one = regions()"
    )
    assert cell["one"].output == "eua2"
    assert cached(cell("regions()"))["regional"]
    for edit, output, why in (
        ("regional.configure(environment={'REGION': 'us'})", "usa2", "environment REGION is not"),
        ("regions = regions.with_options(environment={'ZONE': 'b'})", "usb2", "environment ZONE"),
        (
            "set_secret('cached-token', 'over-there-3')",
            "usb3",
            "secret cached-token is not as in run",
        ),
    ):
        cell(edit)
        run = cell("regions()")
        assert run.output == output
        assert why in reasons(run)["regional"]
        assert cached(cell("regions()"))["regional"]
    kept = str(Client()._call("GET", "api/v1/cache?steps=regional"))
    assert "secret cached-token" in kept
    for said in (b"over-there-2", b"over-there-3", b"eu", b"us"):
        assert hashlib.sha256(said).hexdigest() not in kept
        assert digest_of(said.decode()) not in kept
    assert "over-there" not in kept


def test_secrets_are_no_part_of_a_key(cell: Notebook) -> None:
    """A step that takes what is to be masked runs each time."""
    cell(
        "from pydantic import SecretStr\n"
        "@step\ndef login(password: SecretStr) -> int:\n    return 1\n"
        "@pipeline\ndef secretive(password: SecretStr):\n    return login(password)\n"
        "one = secretive(SecretStr('hunter2'))"
    )
    run = cell("secretive(SecretStr('hunter2'))")
    assert reasons(run) == {"login": "the input `password` is to be masked"}
