"""What a signature accepts and gives as JSON."""

import datetime
import enum
import inspect
import json
import sqlite3
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict, TypeVar

import jsonschema
import numpy as np
import numpy.typing as npt
import pandas as pd
import pydantic
import pytest
from typing_extensions import TypeAliasType

from warmcell.errors import DefinitionError, OutputError, ParameterError
from warmcell.schemas import check_deployable, encode_outputs, output_schema, parameter_model


class Plan(enum.Enum):
    BASIC = "basic"
    PRO = "pro"


class Customer(pydantic.BaseModel):
    name: str
    age: int = pydantic.Field(ge=0)


@dataclass
class Order:
    sku: str
    amount: float = 1.0


class Point(TypedDict):
    x: float
    y: float


def call(function: Any, **parameters: Any) -> dict[str, Any]:
    return parameter_model(function).validate_json(json.dumps(parameters).encode())


def problems(function: Any, raw: bytes) -> list[tuple[str, str]]:
    with pytest.raises(ParameterError) as caught:
        parameter_model(function).validate_json(raw)
    return [(e["pointer"], e["type"]) for e in caught.value.errors]


def everything(
    count: int,
    customer: Customer,
    order: Order,
    point: Point,
    plan: Plan,
    when: datetime.datetime,
    kind: Literal["a", "b"],
    either: int | str,
    tags: list[str],
    anything,
    score: Annotated[float, pydantic.Field(gt=0)] = 0.5,
): ...


GIVEN = {
    "count": 3,
    "customer": {"name": "Ada", "age": 36},
    "order": {"sku": "x"},
    "point": {"x": 1, "y": 2},
    "plan": "pro",
    "when": "2026-01-02T03:04:05Z",
    "kind": "a",
    "either": "seven",
    "tags": ["t"],
    "anything": [{"deep": None}],
}


class TestParameters:
    def test_every_type_arrives_as_itself(self) -> None:
        """Models, dataclasses, enums, dates and unannotated parameters come out as declared."""
        values = call(everything, **GIVEN)
        assert values["customer"] == Customer(name="Ada", age=36)
        assert values["order"] == Order("x")
        assert values["plan"] is Plan.PRO
        assert values["when"] == datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
        assert values["either"] == "seven"
        assert values["anything"] == [{"deep": None}]
        assert values["score"] == 0.5

    def test_schema_is_valid_2020_12_and_accepts_what_is_accepted(self) -> None:
        """The JSON Schema is a correct 2020-12 schema that fits a good call and no bad one."""
        schema = parameter_model(everything).json_schema()
        jsonschema.Draft202012Validator.check_schema(schema)
        validator = jsonschema.Draft202012Validator(schema)
        assert list(validator.iter_errors(GIVEN)) == []
        assert list(validator.iter_errors({**GIVEN, "extra": 1}))
        assert list(validator.iter_errors({**GIVEN, "count": "many"}))
        assert schema["properties"]["score"]["default"] == 0.5
        assert "count" in schema["required"]
        assert "score" not in schema["required"]

    def test_names_that_a_class_would_reserve(self) -> None:
        """A parameter may be called json, schema, self or model_config, or start with _."""

        def pipeline(json: int, schema: int, model_config: int, _hidden: int, self: int): ...

        given = {"json": 1, "schema": 2, "model_config": 3, "_hidden": 4, "self": 5}
        assert call(pipeline, **given) == given

    def test_optional_default_accepts_null(self) -> None:
        """`x: int = None` takes null, as its author means it."""

        def pipeline(x: int = None): ...  # type: ignore[assignment]  # noqa: RUF013

        assert call(pipeline, x=None) == {"x": None}
        assert call(pipeline) == {"x": None}

    def test_a_mutable_default_is_not_shared_between_calls(self) -> None:
        """What one call adds to a default list is not there in the next call."""

        def pipeline(seen: list = []): ...  # type: ignore[type-arg]  # noqa: B006

        model = parameter_model(pipeline)
        model.validate_json(b"{}")["seen"].append(1)
        assert model.validate_json(b"{}") == {"seen": []}

    def test_extra_names_with_keyword_catch_all(self) -> None:
        """Only a function with **kwargs takes names that its signature does not list."""

        def pipeline(a: int, **rest: Any): ...

        assert call(pipeline, a=1, b=2) == {"a": 1, "b": 2}

    def test_classes_of_no_module_work(self) -> None:
        """A class made in a function, which nothing can import, is a fine parameter type."""

        class Local(pydantic.BaseModel):
            value: int

        def pipeline(it: Local): ...

        it = call(pipeline, it={"value": 1})["it"]
        assert type(it) is Local

    def test_python_values_are_checked_too(self) -> None:
        """validate() takes instances as well as plain dicts."""

        def pipeline(customer: Customer): ...

        model = parameter_model(pipeline)
        ada = Customer(name="Ada", age=1)
        assert model.validate({"customer": ada}) == {"customer": ada}
        with pytest.raises(ParameterError):
            model.validate({"customer": {"name": "Ada", "age": -1}})

    def test_dump_shows_what_was_used(self) -> None:
        """dump() writes the parameters as JSON, and a repr where there is no JSON form."""

        def pipeline(customer: Customer, n: int = 2): ...

        model = parameter_model(pipeline)
        used = model.validate_json(b'{"customer": {"name": "Ada", "age": 1}}')
        assert json.loads(model.dump(used)) == {"customer": {"name": "Ada", "age": 1}, "n": 2}
        assert json.loads(model.dump({"x": 1, "y": object}))["y"] == "<class 'object'>"
        assert model.defaults_json() == {"n": 2}


class TestNumbers:
    def test_frames_arrive_as_records_or_columns(self) -> None:
        """A DataFrame is a list of records or an object of columns, also inside a list."""

        def pipeline(frame: pd.DataFrame, more: list[pd.DataFrame], none: pd.DataFrame | None): ...

        values = call(pipeline, frame=[{"a": 1}, {"a": 2}], more=[{"a": [3.5]}, []], none=None)
        pd.testing.assert_frame_equal(values["frame"], pd.DataFrame({"a": [1, 2]}))
        pd.testing.assert_frame_equal(values["more"][0], pd.DataFrame({"a": [3.5]}))
        assert values["none"] is None

    def test_arrays_and_series(self) -> None:
        """Arrays take nested lists and keep a declared dtype; numpy scalars are numbers."""

        def pipeline(
            a: np.ndarray, b: npt.NDArray[np.float32], s: pd.Series, n: np.int64, f: np.float64
        ): ...

        values = call(pipeline, a=[[1, 2]], b=[1, 2], s=["x"], n=3, f=1)
        assert values["a"].shape == (1, 2)
        assert values["b"].dtype == np.float32
        assert list(values["s"]) == ["x"]
        assert type(values["n"]) is np.int64
        assert type(values["f"]) is np.float64

    def test_aliases_of_arrays(self) -> None:
        """`type Name = …`: what it stands for is read, also inside others; one that leads back to
        itself is left to pydantic."""
        vector = TypeAliasType("vector", np.ndarray)
        item = TypeVar("item", bound=np.generic)
        table = TypeAliasType("table", np.ndarray[Any, np.dtype[item]], type_params=(item,))
        texts = TypeAliasType("texts", "list[texts | str]")

        def pipeline(v: vector, more: list[vector], t: table[np.float32], s: texts): ...

        values = call(pipeline, v=[1], more=[[1, 2]], t=[1], s=["a", ["b", ["c"]]])
        assert values["v"].shape == (1,)
        assert values["more"][0].shape == (2,)
        assert values["t"].dtype == np.float32
        assert values["s"] == ["a", ["b", ["c"]]]

    @pytest.mark.parametrize(
        ("hint", "value"),
        [
            (pd.DataFrame, 3),
            (pd.DataFrame, {"a": [1], "b": [1, 2]}),
            (pd.DataFrame, [1, 2]),
            (pd.Series, "no"),
            (np.ndarray, [[1], [1, 2]]),
            (np.ndarray, [{"a": 1}]),
            (npt.NDArray[np.float64], ["x"]),
            (np.int64, 1.5),
            (np.int8, 1000),
        ],
    )
    def test_wrong_shapes_are_refused(self, hint: Any, value: Any) -> None:
        """What is no table, ragged, or no number is a parameter error with its pointer."""

        def pipeline(x): ...

        pipeline.__annotations__["x"] = hint
        assert problems(pipeline, json.dumps({"x": value}).encode()) == [
            ("/parameters/x", "value_error")
        ]

    def test_their_schema_is_valid(self) -> None:
        """The schema of arrays and frames says array and object."""

        def pipeline(frame: pd.DataFrame, a: np.ndarray, n: np.int64): ...

        schema = parameter_model(pipeline).json_schema()
        jsonschema.Draft202012Validator.check_schema(schema)
        jsonschema.validate({"frame": {"a": [1]}, "a": [1], "n": 1}, schema)


class TestRefusals:
    def test_pointers_lead_to_the_value(self) -> None:
        """Each problem carries a JSON Pointer into the body, through lists and models."""

        def pipeline(customers: list[Customer], either: dict[str, int | str], n: int): ...

        raw = json.dumps(
            {"customers": [{"name": "a", "age": -1}, {"age": 1}], "either": {"a/b~c": []}}
        ).encode()
        assert problems(pipeline, raw) == [
            ("/parameters/customers/0/age", "greater_than_equal"),
            ("/parameters/customers/1/name", "missing"),
            ("/parameters/either/a~1b~0c", "int_type"),
            ("/parameters/either/a~1b~0c", "string_type"),
            ("/parameters/n", "missing"),
        ]

    def test_an_unknown_parameter_names_the_close_one(self) -> None:
        """A misspelt parameter is refused with the name that was meant."""

        def pipeline(threshold: float): ...

        with pytest.raises(ParameterError, match="did you mean 'threshold'"):
            call(pipeline, treshold=1.0)

    @pytest.mark.parametrize(
        "raw",
        [
            b"",
            b"[]",
            b"null",
            b"3",
            b'{"x": }',
            b'{"x": "\xff"}',
            b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            b'{"x": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        ],
        ids=["empty", "list", "null", "number", "broken", "utf8", "deep list", "deep object"],
    )
    def test_bad_bytes_are_one_clean_error(self, raw: bytes) -> None:
        """Broken JSON, wrong UTF-8 and 100,000 levels of nesting are refused, short and clean."""

        def pipeline(x): ...

        with pytest.raises(ParameterError) as caught:
            parameter_model(pipeline).validate_json(raw)
        assert caught.value.errors[0]["pointer"] == "/parameters"
        assert len(str(caught.value)) < 200

    def test_values_do_not_leak_into_messages(self) -> None:
        """A refused value is not repeated in the error: it may be a secret or huge."""

        def pipeline(x: int): ...

        with pytest.raises(ParameterError) as caught:
            call(pipeline, x="hunter2")
        assert "hunter2" not in repr(caught.value.errors) + str(caught.value)


class TestDeployable:
    @pytest.mark.parametrize("hint", [sqlite3.Connection, object().__class__.mro, type(print)])
    def test_a_type_without_json_form_is_named(self, hint: Any) -> None:
        """A connection as a parameter is refused at definition, with parameter, cell and fix."""

        def churn(con): ...

        churn.__annotations__["con"] = hint
        with pytest.raises(DefinitionError, match=r"'con' of 'churn' \(In\[4\]\).*on_init"):
            check_deployable(churn, where="In[4]")

    def test_star_arguments_are_refused(self) -> None:
        """*args has no name in JSON; the message says what to write instead."""

        def churn(*rows): ...

        with pytest.raises(DefinitionError, match="rows: list"):
            check_deployable(churn)

    def test_an_undefined_annotation_is_named(self) -> None:
        """An annotation that does not exist names itself and the function."""

        def churn(x): ...

        churn.__annotations__["x"] = "Missing"
        with pytest.raises(DefinitionError, match=r"'churn'.*'Missing'"):
            check_deployable(churn)

    def test_a_signature_with_hints(self) -> None:
        """A bare signature and its hints do as well as a function."""

        def churn(x: int): ...

        model = parameter_model(inspect.signature(churn), "churn", hints={"x": int})
        assert model.validate_json(b'{"x": 1}') == {"x": 1}


class TestOutputs:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            (float("nan"), None),
            (float("inf"), None),
            (np.float64("nan"), None),
            (np.float32(1.5), 1.5),
            (np.int64(3), 3),
            (np.bool_(True), True),
            (np.array([[1.0, np.nan]]), [[1.0, None]]),
            (np.datetime64("2026-01-02"), "2026-01-02"),
            (np.array(["NaT"], dtype="M8[s]"), [None]),
            (np.timedelta64(1500, "ms"), 1.5),
            (pd.Timestamp("2026-01-02"), "2026-01-02T00:00:00"),
            (pd.NaT, None),
            ({"x": [pd.NaT]}, {"x": [None]}),
            (pd.NA, None),
            (pd.Series([1, None]), [1.0, None]),
            (pd.Index(["a"]), ["a"]),
            (pd.Categorical(["a", None]), ["a", None]),
            (pd.Period("2026-01"), "2026-01"),
            (datetime.timedelta(days=1), "P1D"),
            (b"\x00\x01", "AAE="),
            ({np.int64(1): "a"}, {"1": "a"}),
            (Plan.PRO, "pro"),
            (Customer(name="a", age=1), {"name": "a", "age": 1}),
            (Order("s"), {"sku": "s", "amount": 1.0}),
            ({1, 2}, [1, 2]),
            (10**30, 10**30),
        ],
        ids=str,
    )
    def test_values_become_json(self, value: Any, expected: Any) -> None:
        """Numbers of numpy and pandas, dates, models and NaN have the JSON form one expects."""
        assert json.loads(encode_outputs({"x": value})) == {"x": expected}

    def test_a_frame_becomes_records(self) -> None:
        """A DataFrame gives records, with null for every kind of missing value."""
        frame = pd.DataFrame(
            {
                "n": [1, 2],
                "f": [0.5, np.nan],
                "t": pd.to_datetime(["2026-01-02", None]),
                "s": ["a", None],
                "i": pd.array([1, None], dtype="Int64"),
                "l": [[1], {"a": pd.NaT}],
            }
        )
        assert json.loads(encode_outputs({"x": frame}))["x"] == [
            {"n": 1, "f": 0.5, "t": "2026-01-02T00:00:00", "s": "a", "i": 1, "l": [1]},
            {"n": 2, "f": None, "t": None, "s": None, "i": None, "l": {"a": None}},
        ]

    def test_empty_frames_and_column_names(self) -> None:
        """An empty frame is an empty list; columns that are no strings get their text."""
        assert json.loads(encode_outputs({"x": pd.DataFrame()})) == {"x": []}
        assert json.loads(encode_outputs({"x": pd.DataFrame([[1, 2]])}))["x"] == [{"0": 1, "1": 2}]
        with pytest.raises(OutputError):
            encode_outputs({"x": pd.DataFrame([[1, 2]], columns=["a", "a"])})

    def test_an_output_without_json_form_is_named(self) -> None:
        """The error names the output, the path inside it, and the type."""
        value = {"rows": [1, {"con": sqlite3.Connection}]}
        with pytest.raises(OutputError, match=r"'result'.*result\['rows'\]\[1\]\['con'\]"):
            encode_outputs({"fine": 1, "result": value})
        with pytest.raises(OutputError, match=r"Output 'it' is a object"):
            encode_outputs({"it": object()})

    @pytest.mark.parametrize("kind", ["circular", "deep", "surrogate"])
    def test_values_that_never_end_are_refused(self, kind: str) -> None:
        """A circular or endlessly deep value, or half a character, is an OutputError."""
        value: Any = []
        if kind == "circular":
            value.append(value)
        elif kind == "surrogate":
            value = "\ud800"
        else:
            for _ in range(10_000):
                value = [value]
        with pytest.raises(OutputError, match="'x'"):
            encode_outputs({"x": value})
        while kind == "deep" and value:
            value = value[0]  # freed level by level, not in one recursion

    def test_output_schema_describes(self) -> None:
        """Named outputs get their schemas, and a type that has none is left open."""
        schema = output_schema(
            [("customer", Customer), ("p", float), ("con", sqlite3.Connection), ("f", pd.DataFrame)]
        )
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["properties"]["con"] == {}
        assert schema["properties"]["p"] == {"type": "number"}
        jsonschema.validate(
            {"customer": {"name": "a", "age": 1}, "p": 1.0, "con": None, "f": []}, schema
        )
