"""What ZenML's pages on artifacts do, our own versions of it: names, materializers, looking at
values, files that were there before, and what runs made."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from tests.kernel.shells import Notebook, notebook
from warmcell import Client, link, load_artifact, log_artifact_metadata, register_artifact
from warmcell.artifacts import materialized
from warmcell.artifacts.showing import Shown
from warmcell.artifacts.utils import save_artifact
from warmcell.enums import CuratedVisualizationSize, VisualizationType
from warmcell.errors import ArtifactError, Conflict, DefinitionError, NotFound, UsageError
from warmcell.types import CSVString, HTMLString, JSONString, MarkdownString

SETUP = """
%load_ext warmcell
import json, os
from pathlib import Path
from typing import Annotated, Any, Tuple
import numpy as np
import pandas as pd
from warmcell import (
    ArtifactConfig, Client, ExternalArtifact, Model, log_artifact_metadata, pipeline,
    save_artifact, step,
)
from warmcell.artifacts.unmaterialized_artifact import UnmaterializedArtifact
from warmcell.enums import ArtifactType, VisualizationType
from warmcell.io import fileio
from warmcell.materializers.base_materializer import BaseMaterializer
from warmcell.materializers.materializer_registry import materializer_registry
from warmcell.types import HTMLString

class Weather:
    def __init__(self, city, days):
        self.city, self.days = city, days

class WeatherMaterializer(BaseMaterializer):
    ASSOCIATED_TYPES = (Weather,)
    ASSOCIATED_ARTIFACT_TYPE = ArtifactType.STATISTICS

    def save(self, data):
        fileio.makedirs(os.path.join(self.uri, "days"))
        with self.artifact_store.open(os.path.join(self.uri, "days", "all.json"), "w") as file:
            json.dump(data.days, file)
        with fileio.open(os.path.join(self.uri, "city.txt"), "w") as file:
            file.write(data.city)

    def load(self, data_type):
        with self.get_temporary_directory() as folder:
            assert os.path.isdir(folder)
        with fileio.open(os.path.join(self.uri, "days", "all.json")) as file:
            return data_type((self.artifact_path / "city.txt").read_text(), json.load(file))

    def save_visualizations(self, data):
        path = os.path.join(self.uri, "page.html")
        with self.artifact_store.open(path, "w") as file:
            file.write(f"<h1>{data.city}</h1><script>parent.document.title = 'taken'</script>")
        return {path: VisualizationType.HTML}

    def extract_metadata(self, data):
        return {"city": data.city, "warmest": np.float64(max(data.days)), "made": pd.Timestamp(0)}

class Plain:
    inside = 1

class PlainMaterializer(BaseMaterializer):
    pass

@step
def weather(city: str) -> Weather:
    return Weather(city, [1.5, 3.0])

@step
def warmest(one: Weather) -> Annotated[float, "warmest"]:
    return max(one.days)

@pipeline
def watching(city: str = "Bonn"):
    return warmest(weather(city))

watched = watching()
"""


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    """A notebook with an embedded host, in which ``watching`` ran."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CONNECTION", "URL", "TOKEN", "KEY"):
            patch.delenv(f"WARMCELL_{name}", raising=False)
        patch.delenv("JPY_PARENT_PID", raising=False)
        patch.setenv("WARMCELL_HOME", str(folder))
        patch.setenv("WARMCELL_KEY_DIR", str(folder / "keys"))
        patch.setenv("JUPYTER_RUNTIME_DIR", str(folder / "runtime"))
        with notebook() as made:
            made(SETUP)
            yield made
            made("%unload_ext warmcell")
            link.kernel().close()


class TestRuns:
    def test_outputs_of_steps(self, cell: Notebook) -> None:
        """What a run made is loaded by step and output, in its kernel and from the history."""
        for run in (cell["watched"], Client().get_pipeline_run(cell["watched"].id)):
            assert run.steps["warmest"].output.load() == 3.0
            versions = run.steps["warmest"].outputs["warmest"]
            assert (versions.load(), versions[0].load(), versions.artifact) == (3.0, 3.0, "warmest")
            assert run.get_step("weather").outputs["output"].load().city == "Bonn"
            with pytest.raises(NotFound, match="nothing"):
                run.get_step("nothing")
        cell("""
@step
def nothing() -> None: ...
@step
def two() -> Tuple[int, Annotated[str, "text"]]:
    return 1, "x"
@pipeline
def several():
    nothing()
    two()
ended = several()
""")
        assert list(cell["ended"].steps["two"].outputs) == ["output_0", "text"]
        for name in ("nothing", "two"):
            with pytest.raises(UsageError, match="outputs"):
                cell["ended"].steps[name].output.load()

    def test_an_output_is_handed_on(self, cell: Notebook) -> None:
        """What one run gave goes into a step of the next, which the history knows."""
        cell("""
@pipeline
def again(one: object):
    return warmest(one)
following = again(watched.steps["weather"].output)
""")
        assert cell["following"].output == 3.0
        kept = cell["watched"].steps["weather"].output.kept_by
        assert cell["following"].id in str(kept)

    def test_versions_by_their_names_in_zenml(self, cell: Notebook) -> None:
        """Keywords and kinds of ids are those of ZenML."""
        found = Client().get_artifact_version(name_id_or_prefix="warmest")
        assert Client().get_artifact_version(UUID(found.id)) == found
        assert Client().get_artifact("warmest").load() == 3.0

    def test_a_step_after_others_by_name(self, cell: Notebook) -> None:
        """``after`` takes names of steps as well as what they returned."""
        cell("""
@step
def saves() -> None:
    save_artifact(7, "left-behind")
@step
def loads() -> Annotated[int, "found"]:
    return Client().get_artifact_version("left-behind").load()
@pipeline(enable_cache=False)
def ordered():
    saves()
    return loads(after=["saves"])
inorder = ordered()
@pipeline
def disordered():
    return loads(after="later")
""")
        assert cell["inorder"].output == 7
        assert list(cell["inorder"].steps["loads"].upstream) == ["saves"]
        assert "'later'" in str(cell.fails("disordered()"))

    def test_settings_say_what_is_kept(self, cell: Notebook) -> None:
        """A pipeline's own settings count for runs from a cell: by name, by end, nothing."""
        cell("""
@step
def fails(one: object) -> int:
    raise ValueError("no")
@pipeline
def broken():
    fails(warmest(weather("Ulm")))
def kept(made, **artifacts):
    try:
        run = made.with_options(settings={"deployment": artifacts}, enable_cache=False)()
        return [v.step for v in Client().list_artifact_versions(run_id=run.id)]
    except Exception as error:
        return [v.step for v in Client().list_artifact_versions(run_id=error.run_id)]
results = [
    kept(watching, artifacts={"warmest": "all"}), kept(watching, artifacts="none"),
    kept(watching, artifacts="errors"), sorted(kept(broken, artifacts="errors")),
    sorted(kept(watching)),
]
""")
        assert cell["results"] == [
            ["warmest"], [], [], ["warmest", "weather"], ["warmest", "weather"],
        ]  # fmt: skip


class TestMaterializers:
    def test_a_class_has_one(self, cell: Notebook) -> None:
        """Its files, facts and picture are kept, and read by it; what it is, it says."""
        version = cell["watched"].steps["weather"].output
        assert (version.kind, version.role) == ("materializer", "statistics")
        loaded = version.load()
        assert (type(loaded), loaded.days) == (cell["Weather"], [1.5, 3.0])
        known = version.run_metadata
        assert (known["city"], known["warmest"], known["made"][:4]) == ("Bonn", 3.0, "1970")
        assert set(version.fetch()) == {
            "content/city.txt", "content/days/all.json", "visualizations/page.html",
        }  # fmt: skip

    def test_of_a_step_or_an_output(self, cell: Notebook) -> None:
        """A step says who writes its outputs, all or by name; without a ``save`` it is pickled."""
        cell("""
@step(output_materializers={"one": PlainMaterializer})
def objects() -> Tuple[Annotated[Plain, "one"], Annotated[Plain, "two"]]:
    return Plain(), Plain()
@step(output_materializers=PlainMaterializer)
def whole() -> Annotated[dict, "whole"]:
    return {"a": 1}
@pipeline
def written():
    objects()
    whole()
made = written()
""")
        outputs = cell["made"].steps["objects"].outputs
        assert [outputs[name].kind for name in ("one", "two")] == ["materializer", "pickle"]
        assert [outputs[name].load().inside for name in ("one", "two")] == [1, 1]
        whole = cell["made"].steps["whole"].output
        assert (whole.kind, whole.load()) == ("materializer", {"a": 1})
        for wrong in ("int", "{'one': 3}"):
            assert isinstance(
                cell.fails(f"step(output_materializers={wrong})(lambda: 1)"), DefinitionError
            )

    def test_for_a_class_of_others(self, cell: Notebook) -> None:
        """Registered for a class, it replaces what wrote that one before."""
        cell("""
class Sets(BaseMaterializer):
    def save(self, data):
        (self.artifact_path / "items.json").write_text(json.dumps(sorted(data)))
    def load(self, data_type):
        return data_type(json.loads((self.artifact_path / "items.json").read_text()))
class Numbers(frozenset): pass
materializer_registry.register_and_overwrite_type(key=Numbers, type_=Sets)
saved = save_artifact(Numbers([2, 1]), "numbers")
""")
        assert cell["saved"].kind == "materializer"
        assert cell("saved.load() == Numbers([1, 2]) and type(saved.load()) is Numbers")
        assert cell("materializer_registry[Numbers] is Sets")
        assert cell("materializer_registry.is_registered(Weather)")
        assert isinstance(cell.fails("materializer_registry[int]"), KeyError)

    def test_the_digest_is_of_the_value(self, cell: Notebook) -> None:
        """How it is shown does not count for what it is, nor do facts."""
        cell("""
bare = save_artifact(
    Weather("Bonn", [1.5, 3.0]), "bare", extract_metadata=False, include_visualizations=False
)
other = save_artifact(Weather("Bonn", [1.5, 3.1]), "bare")
""")
        shown = cell["watched"].steps["weather"].output
        assert cell["bare"].digest == shown.digest != cell["other"].digest
        assert (cell["bare"].facts, list(cell["bare"].about.get("visualizations", {}))) == ({}, [])

    def test_what_fails_is_told(self, cell: Notebook) -> None:
        """A ``save`` that raises keeps nothing and says why; a picture that fails costs nothing."""
        cell("""
class Odd: pass
class OddMaterializer(BaseMaterializer):
    ASSOCIATED_TYPES = (Odd,)
    def save(self, data):
        raise RuntimeError("no room")
class Even: pass
class EvenMaterializer(BaseMaterializer):
    ASSOCIATED_TYPES = (Even,)
    def save_visualizations(self, data):
        return {"/etc/hostname": VisualizationType.HTML, "nothing.png": VisualizationType.IMAGE}
even = save_artifact(Even(), "even")
""")
        error = cell.fails("save_artifact(Odd(), 'odd')")
        assert isinstance(error, ArtifactError)
        assert "OddMaterializer.save() failed" in str(error)
        assert "no room" in str(error)
        assert list(cell["even"].fetch()) == ["content/object.pkl"]
        cell("known = Even; del Even; even.load()")

    def test_a_materializer_that_is_gone(self, cell: Notebook) -> None:
        """Who reads without it is told what to run."""
        cell("saved = save_artifact(Weather('Jena', [1.0]), 'gone')")
        name = cell("WeatherMaterializer.__qualname__")
        known = materialized._known.pop(name)
        try:
            cell("mine, WeatherMaterializer = WeatherMaterializer, None")
            with pytest.raises(ArtifactError, match="The materializer WeatherMaterializer of this"):
                Client().get_artifact_version("gone").load()
        finally:
            materialized._known[name] = known
            cell("WeatherMaterializer = mine")


class TestUnread:
    def test_a_step_takes_what_is_stored(self, cell: Notebook) -> None:
        """An input that is to stay unread is a version with a folder of files, of this run or of
        another one; the step may write into that folder."""
        cell("""
@step
def large() -> Tuple[Annotated[dict, "small"], Annotated[np.ndarray, "array"]]:
    return {"a": 1}, np.arange(100_000)
found = []
@step
def look(small: UnmaterializedArtifact, array: UnmaterializedArtifact) -> None:
    found.append((os.listdir(small.uri), os.listdir(array.uri), small.load(), array.load().sum()))
    Path(array.uri, "value.npy").write_bytes(b"gone")
    assert array.load().sum() == found[-1][3]
@pipeline
def looking():
    look(*large())
looked = looking()
@pipeline
def looking_back(small: object, array: object):
    look(small, array)
outputs = looked.steps["large"].outputs
back = looking_back(outputs["small"][0], outputs["array"])
""")
        first, second = cell["found"]
        assert first == (["value.json"], ["value.npy"], {"a": 1}, 4_999_950_000)
        assert first == second
        used = Client().get_artifact_version(cell["outputs"]["array"].id)
        assert cell["back"].id in str(used.kept_by)

    def test_without_a_version(self, cell: Notebook) -> None:
        """Where nothing is stored the step says so, and what to do."""
        error = cell.fails("looking_back(1, 2)")
        assert "takes a stored artifact" in str(error.__cause__)


class TestFiles:
    def test_a_folder_that_was_there(self, cell: Notebook, tmp_path: Path) -> None:
        """A registered folder or file comes back as a path, as it was then."""
        folder = Path(Client().active_stack.artifact_store.path) / "checkpoints"
        folder.mkdir()
        (folder / "one.ckpt").write_text("1")
        kept = register_artifact(
            folder_or_file_uri=str(folder), name="checkpoints", version="first", tags=["raw"],
            artifact_metadata={"epoch": 3},
        )  # fmt: skip
        (folder / "one.ckpt").write_text("2")
        path = Client().get_artifact_version("checkpoints").load()
        assert (path / "one.ckpt").read_text() == "1"
        assert (kept.version, kept.tags, kept.run_metadata["epoch"]) == ("first", ["raw"], 3)
        one = register_artifact(f"file://{folder / 'one.ckpt'}", "ckpt", is_model_artifact=True)
        assert (load_artifact(one).read_text(), one.role) == ("2", "model")
        with pytest.raises(UsageError, match="no file or folder"):
            register_artifact(folder / "two", "checkpoints")

    def test_files_as_a_zip(self, cell: Notebook, tmp_path: Path) -> None:
        """The files of a version, or its JSON, are written as one ZIP file, once."""
        cell["watched"].steps["weather"].output.download_files(str(tmp_path / "all.zip"))
        with zipfile.ZipFile(tmp_path / "all.zip") as found:
            assert found.read("content/city.txt") == b"Bonn"
        small = Client().get_artifact_version("warmest")
        with zipfile.ZipFile(small.download_files(tmp_path / "small.zip")) as found:
            assert found.read("value.json") == b"3.0"
        with pytest.raises(UsageError, match="already"):
            small.download_files(tmp_path / "small.zip")
        assert small.download_files(tmp_path / "small.zip", overwrite=True).is_file()
        with pytest.raises(UsageError, match="zip"):
            small.download_files(tmp_path / "small.tar")


class TestLooking:
    def test_what_a_materializer_drew(self, cell: Notebook) -> None:
        """HTML is shown in a frame that cannot reach the page."""
        (shown,) = cell["watched"].steps["weather"].output.visualizations()
        assert (shown.type, shown.name) == (VisualizationType.HTML, "page.html")
        page = Shown("Weather <1>", [shown])._repr_html_()
        assert 'sandbox="allow-scripts"' in page
        assert "allow-same-origin" not in page
        assert "<script>" not in page
        assert "Weather &lt;1&gt;" in page
        cell("""
from IPython.utils.capture import capture_output
with capture_output() as captured:
    watched.steps["weather"].output.visualize("Now")
""")
        (below,) = cell["captured"].outputs
        assert "<strong>Now</strong>" in below.data["text/html"]
        assert below.data["text/plain"].splitlines() == ["Now", "[page.html]"]

    @pytest.mark.parametrize(
        ("value", "kind"),
        [
            (HTMLString("<b>x</b>"), VisualizationType.HTML),
            (MarkdownString("# x" * 9000), VisualizationType.MARKDOWN),
            (CSVString("a,b\n1,<i>"), VisualizationType.CSV),
            (JSONString('{"a": 1}'), VisualizationType.JSON),
        ],
    )
    def test_texts_that_say_what_they_are(self, cell: Notebook, value: Any, kind: Any) -> None:
        """They come back as themselves, under a digest of their own, and are shown as that."""
        kept = save_artifact(value, f"document-{kind}")
        again = kept.load()
        assert (type(again), again, kept.kind) == (type(value), value, "document")
        (shown,) = kept.visualizations()
        assert (shown.type, shown.text) == (kind, value)
        assert "<i>" not in shown.html()
        assert save_artifact(str(value), "text").digest != kept.digest

    def test_values_as_they_are(self, cell: Notebook) -> None:
        """Tables by their first rows, pictures as pictures, the rest by what is known of it."""
        cell("""
import matplotlib.figure
from PIL import Image
figure = matplotlib.figure.Figure()
figure.subplots().plot([1, 2])
shown = {
    kind: save_artifact(value, f"shown-{kind}").visualizations()[0]
    for kind, value in {
        "frame": pd.DataFrame({"x": range(100), "y": ["<b>"] * 100}), "figure": figure,
        "image": Image.new("RGB", (9, 9)), "array": np.zeros((9, 9), dtype="uint8"),
        "numbers": np.arange(3.0), "dict": {"a": [1]}, "object": Plain(), "empty": pd.DataFrame(),
    }.items()
}
""")
        shown = cell["shown"]
        assert [part.type.value for part in shown.values()] == [
            "csv", "image", "image", "image", "csv", "json", "csv", "csv",
        ]  # fmt: skip
        assert shown["frame"].text.splitlines()[:2] == ["x,y", "0,<b>"]
        assert len(shown["frame"].text.splitlines()) == 11
        assert "<b>" not in shown["frame"].html()
        for kind in ("figure", "image", "array"):
            assert shown[kind].html().startswith("<img")
        assert "float64" in shown["numbers"].text
        assert shown["dict"].text == '{\n  "a": [\n    1\n  ]\n}'

    @pytest.mark.parametrize(
        "about",
        [
            {"visualizations": {"visualizations/page.html": "program"}},
            {"visualizations": {"visualizations/other.html": "html"}},
            {"visualizations": ["visualizations/page.html"]},
        ],
        ids=str,
    )
    def test_a_record_that_says_what_is_not_so(self, cell: Notebook, about: Any) -> None:
        """A store may have come from elsewhere: what its records say of pictures is checked."""
        version = Client().get_artifact_version(cell["watched"].steps["weather"].output.id)
        version._row["about"] |= about
        with pytest.raises(ArtifactError):
            version.visualizations()

    def test_off_where_a_step_or_its_pipeline_says_so(self, cell: Notebook) -> None:
        """Neither pictures nor facts are made then; the nearer word counts."""
        cell("""
off = watching.with_options(
    enable_artifact_visualization=False, enable_artifact_metadata=False, enable_cache=False
)()
@step(enable_artifact_visualization=True)
def drawn() -> Weather:
    return Weather("Trier", [1.0])
@pipeline(enable_artifact_visualization=False)
def nearer():
    drawn()
on = nearer()
""")
        off = cell["off"].steps["weather"].output
        assert (off.about.get("visualizations"), off.facts) == (None, {})
        assert cell["on"].steps["drawn"].output.about["visualizations"]


class TestByHand:
    def test_facts_are_metadata(self, cell: Notebook) -> None:
        """What is known of a value by itself answers beside what was logged."""
        cell("saved = save_artifact(pd.DataFrame({'a': [1, 2], 'b': [3, 4]}), 'table')")
        log_artifact_metadata({"source": "me"}, artifact_name="table")
        known = Client().get_artifact_version("table").run_metadata
        assert (known["shape"].value, known["source"]) == ((2, 2), "me")
        assert known["storage_size"].value == cell["saved"].size
        with pytest.raises(UsageError, match="Which artifact"):
            log_artifact_metadata({"source": "me"})

    def test_metadata_of_the_output_of_the_step(self, cell: Notebook) -> None:
        """Inside a step its only output is meant."""
        cell("""
@step
def measured() -> Annotated[int, ArtifactConfig("measured", is_model_artifact=True)]:
    log_artifact_metadata({"accuracy": 0.5})
    return 1
@pipeline
def measuring():
    measured()
done = measuring()
""")
        version = cell["done"].steps["measured"].output
        assert (version.run_metadata["accuracy"], version.role) == (0.5, "model")

    def test_external_artifacts(self, cell: Notebook) -> None:
        """A value with a materializer of its own; what belongs to a version of a model."""
        cell("""
@step
def inner(one: object) -> Annotated[int, "inner"]:
    return one.inside
@pipeline(model=Model("plains"))
def taking(one: object):
    return inner(one)
first = taking(ExternalArtifact(Plain(), materializer=PlainMaterializer))
@step
def plus(number: int) -> int:
    return number + 1
@pipeline
def by_model(number: object):
    return plus(number)
second = by_model(ExternalArtifact(name="inner", model=Model("plains", version=1)))
""")
        kept = Client().get_artifact_version("taking::external::one")
        assert (cell["first"].output, kept.kind) == (1, "materializer")
        assert cell["second"].output == 2
        error = cell.fails("by_model(ExternalArtifact(name='x', model=Model('plains', version=1)))")
        assert "no artifact 'x'" in str(error.__cause__)
        assert isinstance(cell.fails("ExternalArtifact(1, model=Model('plains'))"), UsageError)

    @pytest.mark.parametrize(
        "value",
        [2**63, -(2**63) - 1, 2**64, 10**40, {"a": [2**70, -(2**63)]}, 2**63 - 1, -0.0, 5e-324],
    )
    def test_numbers_that_json_readers_lose(self, cell: Notebook, value: Any) -> None:
        """Whole numbers of any size, and the smallest ones, come back from the store."""
        kept = Client().get_artifact_version(save_artifact(value, "number").id)
        assert repr(kept.load()) == repr(value)
        cell.shell.user_ns["number"] = value
        cell("""
@step
def give(number: object) -> Annotated[object, "given"]:
    return number
@pipeline(enable_cache=False)
def giving(number: object):
    return give(number)
given = giving(number)
""")
        from_run = Client().get_run(cell["given"].id).steps["give"].output
        assert repr(from_run.load()) == repr(value)


class TestCurated:
    """What is shown with what, as ZenML's page on visualizations has it."""

    def test_shown_with_each_kind_of_thing(self, cell: Notebook) -> None:
        """In their order, as wide as they are to be; each is what the artifact shows."""
        cell("""
from warmcell import Client
from warmcell.enums import CuratedVisualizationSize, VisualizationResourceTypes as Types
from warmcell.models import CuratedVisualizationResource as Resource
from warmcell.types import HTMLString

@step
def echo(n: int) -> int:
    return n
@pipeline
def echoing(n: int = 1):
    return echo(n)
served = echoing.deploy("echoing")
served.invoke(n=2)
client = Client()
client.create_model("echo-model")
report = watched.steps["weather"].output.id
shown = client.list_pipelines().items
pipeline_run = next(one for one in shown if one.id == "echoing").runs()[0]
things = {
    Types.MODEL: client.list_models().items[0],
    Types.DEPLOYMENT: client.list_deployments().items[0],
    Types.PIPELINE: client.get_pipeline("echoing"),
    Types.PIPELINE_RUN: pipeline_run,
    Types.PIPELINE_SNAPSHOT: pipeline_run.snapshot(),
    Types.PROJECT: client.active_project,
}
made = [
    client.create_curated_visualization(
        artifact_version_id=report, visualization_index=0,
        resource=Resource(id=thing.id, type=kind), display_name=f"With {kind}",
        layout_size=CuratedVisualizationSize.HALF_WIDTH,
    )
    for kind, thing in things.items()
]
everywhere = client.create_curated_visualization(
    artifact_version_id=report, display_order=10,
    resources=[Resource(id=thing.id, type=kind) for kind, thing in things.items()],
)
first = client.create_curated_visualization(
    artifact_visualization_id=client.get_artifact_version(report).visualizations[0].id,
    resource_id=client.active_project.id, resource_type=Types.PROJECT, display_order=5,
)
""")
        client = Client()
        made, everywhere, first = (cell[name] for name in ("made", "everywhere", "first"))
        for one, (kind, thing) in zip(made, cell["things"].items(), strict=True):
            found = client.list_curated_visualizations(**{f"{kind}_id": thing.id})
            wanted = [everywhere.id, one.id]
            if kind == "project":
                wanted.insert(0, first.id)
            assert [item.id for item in found.items] == wanted
            assert (one.resource.type, one.resource_id) == (kind, thing.id)
            assert one.layout_size == CuratedVisualizationSize.HALF_WIDTH
        assert len(everywhere.resources) == 6
        assert first.visualization.name == "page.html"
        run = client.get_run(cell["pipeline_run"].id).to_json()
        assert [item["id"] for item in run["visualizations"]] == [everywhere.id, made[3].id]
        deployed = client.get_deployment("echoing").to_json()
        assert [item["id"] for item in deployed["visualizations"]] == [everywhere.id, made[1].id]
        page = client.list_curated_visualizations(model_id="echo-model")._repr_html_()
        for part in ("width:49%", "width:100%", 'sandbox="allow-scripts"'):
            assert part in page
        again = cell("client.rerun(pipeline_run.id, snapshot=pipeline_run.snapshot)")
        assert (again.status, again.snapshot, again.snapshot().id) == ("succeeded", 1, "echoing/1")
        with pytest.raises(Conflict, match="it is shown with"):
            client.delete_artifact_version(first.artifact_version_id)

    def test_changed_and_removed(self, cell: Notebook) -> None:
        """By its id, also as a UUID; what is not said stays."""
        client, first = Client(), cell["first"]
        changed = client.update_curated_visualization(
            visualization_id=UUID(first.id), display_name="Page <1>", display_order=20,
            layout_size=CuratedVisualizationSize.HALF_WIDTH,
        )  # fmt: skip
        assert (changed.display_name, changed.display_order) == ("Page <1>", 20)
        assert client.update_curated_visualization(first.id).layout_size == "half_width"
        again = client.get_curated_visualization(first.id, hydrate=True)
        assert "Page &lt;1&gt;" in again._repr_html_()
        order = [one.id for one in client.list_curated_visualizations(project_id="default")]
        assert order[:2] == [cell["everywhere"].id, first.id]
        client.delete_curated_visualization(visualization_id=UUID(first.id))
        with pytest.raises(NotFound):
            client.get_curated_visualization(first.id)

    def test_what_is_meant_has_to_be_said(self, cell: Notebook) -> None:
        """Which visualization, and what it is shown with."""
        client, report = Client(), cell["report"]
        create = client.create_curated_visualization
        with pytest.raises(UsageError, match="Which visualization"):
            create(resource_id="default", resource_type="project")
        with pytest.raises(UsageError, match="What is it shown with"):
            create(artifact_version_id=report)
        with pytest.raises(UsageError, match="no visualization 7"):
            create(f"{report}/7", resource_id="default", resource_type="project")
        with pytest.raises(UsageError, match="Nothing is shown with a 'step'"):
            create(artifact_version_id=report, resource_id="x", resource_type="step")
        with pytest.raises(UsageError, match="is no size"):
            create(artifact_version_id=report, resource_id="default", resource_type="project",
                   layout_size="huge")  # fmt: skip
        with pytest.raises(NotFound):
            create(artifact_version_id=report, resource_id="nothing", resource_type="model")
