"""Runs that keep the outputs of their steps: what is kept, called what, and when."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import pytest

from tests.kernel.executing import MemoryRecorder
from warmcell import output
from warmcell.artifacts import Incoming, Outgoing, Serializer, register
from warmcell.artifacts.artifact_config import ArtifactConfig
from warmcell.artifacts.files import in_folder
from warmcell.artifacts.keeping import Keeper
from warmcell.artifacts.policy import policy_of, rules_of
from warmcell.artifacts.storing import Stored, restore
from warmcell.batch import RunFailed, run
from warmcell.context import get_step_context
from warmcell.enums import ArtifactType
from warmcell.errors import DefinitionError
from warmcell.ids import new_id
from warmcell.pipelines import Pipeline, pipeline
from warmcell.records import VersionRecord
from warmcell.runner import CancelToken, execute
from warmcell.runner.execution import Execution
from warmcell.runner.taking import HANDLES
from warmcell.steps import step


@pytest.fixture(autouse=True)
def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("WARMCELL_KEY_DIR", str(tmp_path / "key"))
    yield
    output.uninstall()


@pytest.fixture
def recorder(tmp_path: Path) -> MemoryRecorder:
    folder = tmp_path / "blobs"
    folder.mkdir()
    return MemoryRecorder(folder)


def kept(recorder: MemoryRecorder) -> dict[str, VersionRecord]:
    """The last record of each version, by the name of its artifact."""
    return {v.artifact: v for detail in recorder.details for v in detail.versions}


def value(version: VersionRecord, recorder: MemoryRecorder) -> Any:
    """What a version holds."""
    assert version.status == "stored"
    assert version.digest is not None
    assert recorder.blobs is not None
    stored = Stored(
        version.kind, version.type, version.digest, version.size or 0, version.role or "",
        version.value, version.files, version.facts, version.about,
    )  # fmt: skip
    return restore(stored, in_folder(recorder.blobs))


@step
def rows(n: int) -> Annotated[pd.DataFrame, "rows"]:
    return pd.DataFrame({"x": range(n)})


@step
def total(frame: pd.DataFrame) -> int:
    frame["later"] = 0  # a step may change what it gets
    return int(frame["x"].sum())


@pipeline
def summed(n: int):
    return total(rows(n))


class TestRuns:
    def test_every_output_is_a_version(self, recorder: MemoryRecorder) -> None:
        """Each output is stored with its name, its step and run, and what it is."""
        ended = run(summed, {"n": 4}, recorder=recorder)
        found = kept(recorder)
        assert found.keys() == {"rows", "summed::total::output"}
        frame = found["rows"]
        assert (frame.run_id, frame.step, frame.name, frame.pipeline, frame.kind) == (
            ended.id, "rows", "rows", "summed", "pandas",
        )  # fmt: skip
        assert value(frame, recorder)["x"].tolist() == [0, 1, 2, 3]
        assert value(found["summed::total::output"], recorder) == 6
        described = {a.name: a.version for d in recorder.details for a in d.artifacts}
        assert described == {"rows": frame.id, "output": found["summed::total::output"].id}

    def test_a_value_is_kept_as_its_step_gave_it(self, recorder: MemoryRecorder) -> None:
        """What a later step does to a frame, an array or an object is not in what is kept."""

        class Box:
            inside = 1

        @step
        def make() -> tuple[
            Annotated[Any, "frame"], Annotated[Any, "array"], Annotated[Any, "box"]
        ]:
            return pd.DataFrame({"a": [1]}), np.zeros(500_000), Box()

        @step
        def change(frame: Any, array: Any, box: Any) -> None:
            frame.loc[0, "a"] = 2
            frame["b"] = 3
            array[:] = 1
            box.inside = 2

        @pipeline
        def changing():
            change(*make())

        run(changing, {}, recorder=recorder)
        found = kept(recorder)
        assert value(found["frame"], recorder).to_dict("list") == {"a": [1]}
        assert not value(found["array"], recorder).any()
        assert value(found["box"], recorder).inside == 1

    def test_pending_until_it_is_there(self, recorder: MemoryRecorder) -> None:
        """A version is told of while it is written, and the run ends once it is."""
        writing, go_on = threading.Event(), threading.Event()

        class Slow:
            pass

        class Slowly(Serializer):
            kind = "test-slow"

            def freeze(self, value: Any) -> Any:
                return value

            def save(self, value: Any, out: Outgoing) -> None:
                writing.set()
                assert go_on.wait(20)
                out.write("x", b"x")

            def load(self, parts: Incoming) -> Any:
                return Slow()

        register(Slow, Slowly())

        @step
        def make() -> Annotated[Any, "slow"]:
            return Slow()

        @step
        def meanwhile(slow: Any) -> str:
            assert writing.wait(20)
            go_on.set()
            return "ran while it was written"

        @pipeline
        def slowly():
            return meanwhile(make())

        run(slowly, {}, recorder=recorder)
        states = [v.status for d in recorder.details for v in d.versions if v.artifact == "slow"]
        assert states in (["pending", "stored"], ["stored"])
        assert kept(recorder)["slow"].status == "stored"

    def test_what_cannot_be_kept_says_why(self, recorder: MemoryRecorder) -> None:
        """A value that cannot be written does not fail its run; the version says why."""

        @step
        def lock() -> Annotated[Any, "lock"]:
            return threading.Lock()

        @pipeline
        def locking():
            lock()

        assert run(locking, {}, recorder=recorder).status == "succeeded"
        assert kept(recorder)["lock"].status.startswith("refused: A value of type _thread.lock")

    def test_a_failed_run_keeps_what_was_made(self, recorder: MemoryRecorder) -> None:
        """The outputs of the steps before are there to look at."""

        @step
        def fail(frame: Any) -> None:
            raise ValueError("no")

        @pipeline
        def failing(n: int):
            fail(rows(n))

        with pytest.raises(RunFailed):
            run(failing, {"n": 2}, recorder=recorder)
        assert len(value(kept(recorder)["rows"], recorder)) == 2

    def test_equal_values_share_their_file(self, recorder: MemoryRecorder) -> None:
        """The same frame again is another version with the same content and file."""
        run(summed, {"n": 4}, recorder=recorder)
        first = kept(recorder)["rows"]
        run(summed, {"n": 4}, recorder=recorder)
        second = kept(recorder)["rows"]
        assert first.id != second.id
        assert (first.digest, first.files) == (second.digest, second.files)
        assert recorder.blobs is not None
        assert len(list(recorder.blobs.iterdir())) == 1

    def test_secrets_are_not_kept(self, recorder: MemoryRecorder) -> None:
        """An output whose name is to be masked is nowhere."""

        @step
        def login() -> Annotated[dict[str, str], "password"]:
            return {"secret": "hunter22"}

        @pipeline(settings={"deployment": {"redact": ["*password*"]}})
        def secretive():
            login()

        run(secretive, {}, recorder=recorder)
        assert kept(recorder)["password"].status == "refused: it holds what is to be masked"
        assert "hunter22" not in str(kept(recorder))


class TestNames:
    def test_places_are_filled_in(self, recorder: MemoryRecorder) -> None:
        """Names may have places, for the run, the date, and those of a step's own."""

        @step
        def extract(source: str) -> Annotated[str, "{kind}_data"]:
            return source

        @step
        def report() -> Annotated[
            str, ArtifactConfig(name="report-{run.id[:8]}", version="v-{kind}")
        ]:
            return "fine"

        @pipeline(substitutions={"kind": "all"})
        def extracting():
            report()
            return extract.with_options(substitutions={"kind": "train"})("a"), extract("b")

        ended = run(extracting, {}, recorder=recorder)
        found = kept(recorder)
        assert found.keys() == {"train_data", "all_data", f"report-{ended.id[:8]}"}
        assert found[f"report-{ended.id[:8]}"].version == "v-all"

    def test_a_place_that_means_nothing(self, recorder: MemoryRecorder) -> None:
        """An unknown place is told of, and what there is."""

        @step
        def report() -> Annotated[str, "{datum}"]:
            return "fine"

        @pipeline
        def reporting():
            report()

        run(reporting, {}, recorder=recorder)
        assert "{datum}" in kept(recorder)["reporting::report::output"].status

    def test_configured(self, recorder: MemoryRecorder) -> None:
        """An ArtifactConfig says the type, the version, tags and metadata."""

        @step
        def train() -> Annotated[
            dict[str, int],
            ArtifactConfig(
                name="churn-model", version=42, tags=["good"], run_metadata={"auc": 0.9},
                artifact_type=ArtifactType.MODEL,
            ),
        ]:  # fmt: skip
            return {"w": 1}

        @pipeline
        def training():
            return train()

        run(training, {}, recorder=recorder)
        version = kept(recorder)["churn-model"]
        assert (version.version, version.role) == ("42", "model")
        assert value(version, recorder) == {"w": 1}
        tags = [(t.tag, t.subject) for d in recorder.details for t in d.tags]
        assert tags == [("good", version.id)]
        metadata = [(m.key, m.subject) for d in recorder.details for m in d.metadata]
        assert metadata == [("auc", version.id)]

    @pytest.mark.parametrize(
        "wrong",
        [{"name": ""}, {"version": "latest"}, {"run_metadata": 3}, {"artifact_type": "picture"}],
        ids=str,
    )
    def test_mistakes_are_told_at_once(self, wrong: Any) -> None:
        """A config that cannot work is refused where it is written."""
        with pytest.raises(DefinitionError):
            ArtifactConfig(**wrong)
        with pytest.raises(DefinitionError, match="substitutions"):
            step(substitutions=3)(lambda: 1)


class Stand:
    """What stands for a stored value, in these tests."""

    def taken(self, run: Execution, step: str, name: str) -> tuple[Any, str | None]:
        return f"{step}.{name}", "an-id"


class TestTaking:
    def test_steps_get_what_handles_stand_for(
        self, recorder: MemoryRecorder, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A handle among the arguments is the value itself in the step, and a use in the record."""
        HANDLES.add(Stand)

        @step
        def shows(what: Any, *, named: Any = None) -> str:
            found = get_step_context().inputs["what"]
            assert (found.value, found.id) == (what, "an-id")
            return f"{what} {named}"

        @step
        async def waits(what: Any) -> str:
            return str(what)

        @pipeline
        def handling(given: Any):
            return shows(given, named=Stand()), waits(given)

        try:
            ended = run(handling, {"given": Stand()}, recorder=recorder)
        finally:
            HANDLES.discard(Stand)
        assert list(ended.outputs.values()) == ["shows.what shows.named", "waits.what"]
        uses = [(u.step, u.input, u.version) for d in recorder.details for u in d.uses]
        assert sorted(uses, key=str) == [
            ("shows", "named", "an-id"), ("shows", "what", "an-id"), ("waits", "what", "an-id"),
        ]  # fmt: skip


class TestServed:
    @pytest.mark.parametrize(
        ("rules", "n", "names"),
        [
            ("all", 1, ["rows", "summed_or_not::check::output"]),
            ("none", 1, []),
            ("errors", 1, []),
            ("errors", 0, ["rows"]),
            (["rows"], 1, ["rows"]),
            ({"rows": "none", "*": "all"}, 1, ["summed_or_not::check::output"]),
        ],
        ids=str,
    )
    def test_a_policy_says_what_is_kept(
        self, rules: Any, n: int, names: list[str], tmp_path: Path
    ) -> None:
        """A served call keeps what its deployment says: all, nothing, by name, of failures."""

        @step
        def check(frame: pd.DataFrame) -> int:
            if frame.empty:
                raise ValueError("empty")
            return len(frame)

        @pipeline
        def summed_or_not(n: int):
            return check(rows(n))

        late: list[VersionRecord] = []
        serving = _served(summed_or_not, {"n": n}, rules, tmp_path, late)
        assert serving.keeper is not None
        told = serving.keeper.close()
        assert serving.keeper.flush(20)
        found = {version.artifact: version.status for version in told + late}
        assert found == dict.fromkeys(names, "stored")


def _served(
    served: Pipeline, arguments: dict[str, Any], rules: Any, folder: Path, late: list[VersionRecord]
) -> Execution:
    execution = Execution(
        served, arguments, run_id=new_id(), token=CancelToken(), deployment="d",
        policy=policy_of(rules_of(rules)),
    )  # fmt: skip
    if execution.policy is None:
        execution.policy = policy_of({"nothing": "all"})
    execution.keeper = Keeper(execution, folder, late.extend)
    outcome = execute(served, arguments, run_id=execution.run_id, execution=execution)
    execution.keeper.settle(failed=outcome.status != "succeeded")
    return execution
