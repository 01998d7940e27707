"""Tags and metadata that a run notes while it goes on, and what is sent of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any
from uuid import uuid4

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import warmcell
from tests.kernel.executing import MemoryRecorder
from warmcell import Tag, add_tags, bulk_log_metadata, log_metadata, remove_tags
from warmcell.batch import run
from warmcell.context import get_pipeline_context, get_step_context
from warmcell.errors import InvalidName, UsageError
from warmcell.metadata.metadata_types import DType, Path, StorageSize, Uri
from warmcell.metadata.values import encoded, restored
from warmcell.models import PipelineRunIdentifier, StepRunIdentifier
from warmcell.pipelines import pipeline
from warmcell.runs import Run
from warmcell.steps import step


def within(body: Callable[[], Any], **options: Any) -> Run:
    """A run with one step of two outputs, ``low`` and ``high``, that does ``body`` first."""

    @step
    def split(x: int) -> tuple[Annotated[int, "low"], Annotated[int, "high"]]:
        body()
        return x, x + 1

    @pipeline(**options)
    def parts(x: int):
        return split(x)

    return run(parts, {"x": 1}, recorder=MemoryRecorder())


def test_a_step_tags_its_run() -> None:
    """Those of the pipeline are there too; what it takes away again is not."""

    def body() -> None:
        add_tags(["fast", Tag("best", exclusive=True, color="green")])
        add_tags("by-id", run=get_step_context().run_id)
        remove_tags(["fast", "unknown"])

    assert within(body, tags=["nightly"]).tags == ["best", "by-id", "nightly"]


def test_metadata_is_typed_and_nested() -> None:
    """Values come back as they were logged, by step, by run, and as ``step::key``."""
    values = {
        "source": Uri("s3://bucket/a.csv"),
        "columns": {"age": DType("int"), "odd/~": [Path("/x"), (1, 2)]},
        "size": StorageSize(2_500_000),
        "kinds": {"b", "a"},
    }

    def body() -> None:
        log_metadata(values)
        log_metadata({"note": 1}, run_id_name_or_prefix=get_step_context().pipeline_run.id)
        log_metadata({"late": True}, run_id_name_or_prefix=get_step_context().run_id,
                     step_name="split")  # fmt: skip

    found = within(body)
    logged = found.steps["split"].run_metadata
    assert logged == values | {"late": True}
    assert [type(logged[key]) for key in ("source", "size")] == [Uri, StorageSize]
    assert str(logged["size"]) == "2.5 MB"
    assert found.run_metadata == {"split::note": 1}
    assert found.metadata["split.source"] == "s3://bucket/a.csv"
    assert found.to_json() == found.to_json()


def test_what_is_large_or_an_array_is_described() -> None:
    """Nothing is dropped, and nothing fails the run."""
    values = {"array": np.zeros(99_999), "none": None, "big": list(range(9999)), "long": "é" * 8192}
    logged = within(lambda: log_metadata(values)).steps["split"].run_metadata
    assert logged["array"]["$type"] == "numpy.ndarray"
    assert logged["none"] is None
    assert logged["big"]["$type"] == "list"


@pytest.mark.parametrize(
    "log",
    [
        log_metadata,
        lambda values: log_metadata(values, infer_artifact=True, artifact_name="low"),
        lambda values: get_step_context().log_metadata(values),
        lambda values: get_pipeline_context().log_metadata(values),
        lambda values: get_step_context().add_output_metadata(values, "low"),
    ],
    ids=["step", "artifact", "context", "run", "output"],
)
@pytest.mark.parametrize(
    ("value", "why"),
    [
        (object(), "The metadata 'thing' holds an object of type object, which JSON"),
        ({"a": [1, (object(),)]}, "The metadata 'thing' holds an object of type object, which"),
        ("é" * 8193, "A text in the metadata 'thing' takes 16386 bytes, and 16384 are the most"),
        (["x" * 16385], "A text in the metadata 'thing' takes 16385 bytes"),
    ],
    ids=["object", "nested", "text", "text in a list"],
)
def test_what_would_only_be_a_name_is_refused(log: Any, value: Any, why: str) -> None:
    """Where it is logged, with its key; nothing else of the call is kept."""

    def body() -> None:
        with pytest.raises(UsageError, match=re.escape(why)):
            log({"fine": 1, "thing": value})

    found = within(body)
    assert found.metadata == {}


def test_notes_of_outputs_that_are_not_kept_stay_with_the_step() -> None:
    """And the logs say of which tags that is so."""

    def body() -> None:
        add_tags(["gold"], infer_artifact=True, artifact_name="low")
        add_tags(["gone"], infer_artifact=True, artifact_name="low")
        remove_tags(["gone"], infer_artifact=True, artifact_name="low")
        log_metadata({"rows": 3}, infer_artifact=True, artifact_name="high")
        log_metadata({"cells": 4}, artifact_name="high")
        context = get_step_context()
        assert context.get_output_tags("low") == ["gold"]
        assert context.get_output_metadata("high") == {"rows": 3, "cells": 4}

    @step
    def unkept() -> Any:
        add_tags("alone", infer_artifact=True)
        return 1

    @pipeline
    def one():
        return unkept()

    from warmcell.runner import Execution
    from warmcell.runner.cancellation import CancelToken

    execution = Execution(one, {}, run_id=str(uuid4()), token=CancelToken())
    execution.notes_of("unkept", "output").metadata["rows"] = 3
    execution.notes_of("unkept", "output").tags["gold"] = Tag("gold")
    assert execution.noted is not None
    execution.noted.kept(execution, "unkept")
    (metadata,) = execution.detail().metadata
    assert (metadata.kind, metadata.key) == ("step", "rows")
    assert "not tagged: gold" in execution.logs[0].text
    within(body)


def test_bulk_metadata_reaches_the_run_and_its_step() -> None:
    """The same values for each that is named."""

    def body() -> None:
        here = PipelineRunIdentifier(id=get_pipeline_context().run_id)
        bulk_log_metadata(
            {"python": "3"},
            pipeline_runs=[here],
            step_runs=[StepRunIdentifier(None, "split", here)],
        )

    found = within(body)
    assert found.run_metadata == {"split::python": "3"}
    assert found.steps["split"].run_metadata == {"python": "3"}


@pytest.mark.parametrize(
    "body",
    [
        lambda: add_tags("a", infer_artifact=True),
        lambda: add_tags("a", infer_artifact=True, artifact_name="nothing"),
        lambda: add_tags("a", infer_artifact=True, run="x"),
        lambda: add_tags("a", pipeline="x", run="y"),
        lambda: add_tags("a", artifact_version="1"),
        lambda: add_tags(Tag("a", cascade=True)),
        lambda: add_tags(3),  # type: ignore[arg-type]
        lambda: log_metadata({"a": 1}, infer_artifact=True),
        lambda: log_metadata({"a": 1}, infer_artifact=True, infer_model=True),
        lambda: log_metadata({"a": 1}, infer_model=True, run_id_name_or_prefix="x"),
        lambda: log_metadata({"a": 1}, infer_model=True),
        lambda: log_metadata([1]),  # type: ignore[arg-type]
        lambda: log_metadata({"a": 1}, model_name="m"),
        lambda: bulk_log_metadata({"a": 1}),
        lambda: bulk_log_metadata({"a": 1}, pipeline_runs=[PipelineRunIdentifier()]),
    ],
)
def test_what_means_nothing_is_refused(body: Callable[[], Any]) -> None:
    """At the call, in words that name the way out."""

    def refused() -> None:
        with pytest.raises(UsageError) as told:
            body()
        assert str(told.value)

    assert within(refused).status == "succeeded"


def test_outside_of_a_run_something_has_to_be_named() -> None:
    """There is no run that could be meant."""
    for call in (
        lambda: add_tags("a"),
        lambda: remove_tags("a"),
        lambda: add_tags("a", infer_artifact=True),
        lambda: log_metadata({"a": 1}),
        lambda: log_metadata({"a": 1}, infer_model=True),
        lambda: bulk_log_metadata({"a": 1}, infer_artifacts=True),
    ):
        with pytest.raises(UsageError):
            call()


@pytest.mark.parametrize(
    "name", ["", " a", "a,b", "a\nb", "x" * 256, "6f1c7a8e-0b1d-4b1e-9d3f-2a5c8e7f1a90", 3]
)
def test_names_that_no_tag_can_have(name: Any) -> None:
    """Refused where the tag is made, also on a pipeline."""
    with pytest.raises(InvalidName):
        Tag(name)
    if isinstance(name, str):
        with pytest.raises(InvalidName):
            pipeline(tags=[name])(lambda: None)
    with pytest.raises(UsageError, match="Colors: grey"):
        Tag("fine", color="pink")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.builds(Uri, st.text(max_size=5)) | st.builds(StorageSize, st.integers(0, 2**40)),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    | st.tuples(inner, inner),
    max_leaves=10,
)  # fmt: skip


@given(JSON)
def test_values_come_back(value: Any) -> None:
    """Whatever was logged, with the types that say more than JSON does."""
    import msgspec

    data, kind = encoded("key", value)
    found = restored(msgspec.json.decode(data), kind)
    assert found == value
    assert type(found) is type(value)


def test_the_names_are_where_zenml_has_them() -> None:
    """Only the import changes."""
    from warmcell.utils import metadata_utils, tag_utils

    assert (tag_utils.add_tags, tag_utils.Tag) == (warmcell.add_tags, warmcell.Tag)
    assert metadata_utils.bulk_log_metadata is warmcell.bulk_log_metadata
