"""How values are described, written and read back."""

import dataclasses
import datetime
import json
import sqlite3
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
import pydantic
import pytest
from sklearn.linear_model import LinearRegression

from warmcell.artifacts import INLINE, describe, recorded


class Customer(pydantic.BaseModel):
    name: str
    since: datetime.date = datetime.date(2026, 1, 2)


@dataclasses.dataclass
class Order:
    sku: str
    rows: list[int] = dataclasses.field(default_factory=list)


class Rude:
    """An object whose every courtesy raises."""

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __len__(self) -> int:
        raise RuntimeError("no len")

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no attributes")


MODEL = LinearRegression().fit([[1.0, 2.0], [3.0, 5.0]], [1.0, 2.0])
FRAME = pd.DataFrame({"a": [1, 2], "b": ["x", None]})


class TestDescribe:
    @pytest.mark.parametrize(
        ("value", "kind", "type_", "inline"),
        [
            (None, "json", "NoneType", None),
            (True, "json", "bool", True),
            (3, "json", "int", 3),
            (2**70, "json", "int", 2**70),
            (0.5, "json", "float", 0.5),
            (float("nan"), "json", "float", None),
            ("text", "text", "str", "text"),
            ({"a": [1, None]}, "json", "dict", {"a": [1, None]}),
            ((1, 2), "json", "tuple", [1, 2]),
            (datetime.date(2026, 1, 2), "json", "datetime.date", "2026-01-02"),
            (np.array([1, 2]), "numpy", "numpy.ndarray", [1, 2]),
            (np.float64(0.5), "numpy", "numpy.float64", 0.5),
            (Customer(name="Ada"), "pydantic", None, {"name": "Ada", "since": "2026-01-02"}),
            (Order("x", [1]), "dataclass", None, {"sku": "x", "rows": [1]}),
        ],
        ids=str,
    )
    def test_small_values_are_kept(self, value: Any, kind: str, type_: Any, inline: Any) -> None:
        """A small value is in the record itself, as JSON, with its kind and its type."""
        record = describe("score", "probability", value)
        assert (record.step, record.name, record.kind) == ("score", "probability", kind)
        assert type_ in (None, record.type)
        assert record.value is not None
        assert json.loads(bytes(record.value)) == inline

    @pytest.mark.parametrize(
        ("value", "kind", "preview"),
        [
            (FRAME, "pandas", "2 rows x 2 columns: a, b"),
            (FRAME["a"], "pandas", "2 x int64"),
            (np.zeros((3, 1000)), "numpy", "3 x 1000 float64"),
            (MODEL, "model", "LinearRegression, 2 features"),
            (matplotlib.figure.Figure(), "figure", "6.4 x 4.8 in, 0 plots"),
            (list(range(100_000)), "json", "list of 100,000: int, …"),
            ({str(i): 0 for i in range(9_999)}, "json", "dict of 9,999: 0, 1, 2, 3, 4, 5, 6, 7, …"),
            (b"x" * 1000, "bytes", "1,000 bytes"),
            (sqlite3.Row, "pickle", "type"),
        ],
        ids=lambda v: type(v).__name__,
    )
    def test_large_values_show_their_shape(self, value: Any, kind: str, preview: str) -> None:
        """What is not kept inline says what it is: rows and columns, shape, length."""
        record = describe("s", "o", value)
        assert (record.kind, record.preview, record.value) == (kind, preview, None)

    def test_long_text_is_cut(self) -> None:
        """A long text is described by its length and its beginning."""
        record = describe("s", "o", "é" * 100_000)
        assert record.value is None
        assert record.preview is not None
        assert record.preview.startswith("100,000 characters: 'éé")
        assert len(record.preview) < 300

    @pytest.mark.parametrize("value", ["\ud800", "\ud800" * 2000, {"a": "\ud800"}, [sqlite3]])
    def test_values_without_json_are_described(self, value: Any) -> None:
        """Half a character or an object in a list is described, not refused."""
        assert describe("s", "o", value).value is None

    def test_a_rude_object_harms_nobody(self) -> None:
        """An object that raises at every touch is described by its type, alone or in a list."""
        assert describe("s", "o", Rude()).kind == "pickle"
        assert describe("s", "o", [Rude()]).kind == "json"

    def test_circular_values_are_described(self) -> None:
        """A list that contains itself ends."""
        value: list[Any] = []
        value.append(value)
        assert describe("s", "o", value).preview == "list of 1: list, …"

    def test_inline_values_are_bounded(self) -> None:
        """Nothing inline is longer than the bound, whatever the shape of the value."""
        for value in (["x" * 100] * 150, ["x" * 100] * 170, "é" * 4000, [[0.123456789] * 1900]):
            record = describe("s", "o", value)
            assert record.value is None or len(bytes(record.value)) <= INLINE

    def test_a_huge_value_is_not_walked(self) -> None:
        """Describing ten million items looks at none but the first."""

        class Watched(list[int]):
            def __iter__(self) -> Any:
                for item in super().__iter__():
                    seen.append(item)
                    yield item

        seen: list[int] = []
        assert describe("s", "o", Watched([0] * 10_000_000)).size is None
        assert len(seen) <= 1


class TestRecorded:
    def test_parameters_of_any_kind(self) -> None:
        """Small parameters are kept as JSON, a large one as its type and preview."""
        values = {"n": 1, "frame": FRAME, "con": sqlite3.connect, "c": Customer(name="é")}
        assert json.loads(recorded(values)) == {
            "n": 1,
            "frame": {"$type": "pandas.DataFrame", "$preview": "2 rows x 2 columns: a, b"},
            "con": {
                "$type": "builtin_function_or_method",
                "$preview": "builtin_function_or_method",
            },
            "c": {"name": "é", "since": "2026-01-02"},
        }
        assert recorded({}) == b"{}"
