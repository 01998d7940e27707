"""Values of every kind, written and read back: equal, of the same type, under a stable digest, and
refused when a byte of them is not what was written."""

from __future__ import annotations

import dataclasses
import datetime
import io
import math
import sqlite3
import warnings
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib.figure
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pydantic
import pytest
import scipy.sparse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from hypothesis.extra import pandas as hpd
from PIL import Image
from sklearn.linear_model import LinearRegression

from warmcell.artifacts import Incoming, Outgoing, Serializer, register, serializer_of
from warmcell.artifacts.files import in_folder
from warmcell.artifacts.storing import Stored, endorse, prepare, restore, store
from warmcell.errors import ArtifactError, DefinitionError, NotFound, NotTrusted

often = settings(
    max_examples=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Customer(pydantic.BaseModel):
    name: str
    since: datetime.date = datetime.date(2026, 1, 2)
    scores: list[float] = []


@dataclasses.dataclass
class Order:
    sku: str
    rows: list[int] = dataclasses.field(default_factory=list)


class Point:
    """A class of a user, with a serializer of the user's."""

    def __init__(self, x: int, y: int) -> None:
        self.x, self.y = x, y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)


class Points(Serializer):
    kind = "test-point"

    def save(self, value: Point, out: Outgoing) -> None:
        out.write("x.txt", str(value.x).encode())
        out.path("y.txt").write_text(str(value.y))

    def load(self, parts: Incoming) -> Point:
        return Point(int(parts.read("x.txt")), int(parts.path("y.txt").read_text()))


register(Point, Points())


@pytest.fixture(autouse=True)
def _key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARMCELL_KEY_DIR", str(tmp_path / "key"))


@pytest.fixture
def blobs(tmp_path: Path) -> Path:
    folder = tmp_path / "blobs"
    folder.mkdir()
    return folder


def there_and_back(value: Any, blobs: Path, kind: str | None = None) -> Any:
    """Store ``value`` twice, load it once, and damage each of its files once."""
    stored = store(value, blobs)
    assert kind in (None, stored.kind)
    assert store(value, blobs).digest == stored.digest
    again = restore(stored, in_folder(blobs))
    assert type(again) is type(value)
    if stored.value is not None:
        assert not stored.files
        with pytest.raises(ArtifactError):
            restore(stored_with(stored, "value", b'"other"'), in_folder(blobs))
    for file in stored.files:
        beside = file.name in ("picture.png", "weights.pt") and len(stored.files) > 1
        if not file.size or beside:
            continue  # for readers without us, beside the object
        flip(blobs / file.blob)
        with pytest.raises(ArtifactError, match="damaged"):
            restore(stored, in_folder(blobs))
        flip(blobs / file.blob)
    assert not list(blobs.glob(".*")), "a file without its name was left"
    return again


def stored_with(stored: Stored, field: str, value: Any) -> Stored:
    changed = Stored(**{name: getattr(stored, name) for name in stored.__struct_fields__})
    setattr(changed, field, value)
    return changed


def flip(path: Path) -> None:
    """Flip one bit in the middle of a file; twice is not at all."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def same(first: Any, second: Any) -> bool:
    """Equal, types of what is inside included; NaN equals NaN."""
    if type(first) is not type(second):
        return False
    if isinstance(first, float):
        return (math.isnan(first) and math.isnan(second)) or (
            first == second and math.copysign(1, first) == math.copysign(1, second)
        )
    if isinstance(first, complex):
        return same(first.real, second.real) and same(first.imag, second.imag)
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, dict):
        return same(list(first.items()), list(second.items()))
    if isinstance(first, set | frozenset):
        return same(sorted(first, key=repr), sorted(second, key=repr))
    return bool(first == second)


ATOMS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(max_size=20),
    st.dates(), st.datetimes(), st.times(), st.timedeltas(), st.decimals(allow_nan=False),
    st.uuids(), st.complex_numbers(), st.integers(min_value=2**70),
)  # fmt: skip
KEYS = st.one_of(st.text(), st.integers(), st.tuples(st.integers(), st.text()))
VALUES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=4),
        st.tuples(inner, inner),
        st.frozensets(st.one_of(st.text(), st.integers()), max_size=3),
    ),
    max_leaves=12,
)


class TestPlain:
    @often
    @given(value=st.one_of(st.dictionaries(KEYS, VALUES, max_size=5), st.lists(VALUES), VALUES))
    def test_json_values(self, value: Any, blobs: Path) -> None:
        """Numbers, texts, dates and containers of them, whatever their keys."""
        assert same(there_and_back(value, blobs), value)

    def test_what_json_has_is_plain_json(self, blobs: Path) -> None:
        """A value that JSON has is kept as that JSON, for readers without us."""
        stored = store({"a": [1, 2.5, None, {"b": "é"}]}, blobs)
        assert stored.value is not None
        assert bytes(stored.value) == '{"a":[1,2.5,null,{"b":"é"}]}'.encode()

    def test_large_json_is_a_file(self, blobs: Path) -> None:
        """A list that is too large for a row is a JSON file."""
        value = list(range(10_000))
        assert there_and_back(value, blobs, "json") == value
        (file,) = store(value, blobs).files
        assert file.name == "value.json"
        assert (blobs / file.blob).read_bytes()[:9] == b"[0,1,2,3,"

    @often
    @given(value=st.text(alphabet=st.characters(), max_size=40).map(lambda text: text * 600))
    def test_text(self, value: str, blobs: Path) -> None:
        """Texts, short and long, and with half characters in them."""
        assert there_and_back(value, blobs, "text") == value

    @often
    @given(value=st.one_of(st.binary(), st.binary().map(bytearray)))
    def test_bytes(self, value: Any, blobs: Path) -> None:
        """Bytes, also those that can change."""
        assert there_and_back(value, blobs, "bytes") == value

    def test_equal_values_of_other_types_have_other_digests(self, blobs: Path) -> None:
        """What compares equal and is not the same does not pass for each other."""
        values = [1, 1.0, True, "1", b"1", [1], (1,), {1}, np.int64(1), np.array(1)]
        assert len({store(value, blobs).digest for value in values}) == len(values)

    def test_subclasses_keep_their_class(self, blobs: Path) -> None:
        """What is more than a dict, a tuple or a text comes back as that."""
        import collections

        for value in (collections.Counter("aab"), collections.OrderedDict(a=1), bool):
            assert there_and_back(value, blobs, "pickle") == value


class TestObjects:
    @often
    @given(
        value=st.builds(
            Customer, name=st.text(), since=st.dates(), scores=st.lists(st.floats(allow_nan=False))
        )
    )
    def test_pydantic(self, value: Customer, blobs: Path) -> None:
        """A model of pydantic is read by its class."""
        assert there_and_back(value, blobs) == value

    @often
    @given(value=st.builds(Order, sku=st.text(), rows=st.lists(st.integers())))
    def test_dataclasses(self, value: Order, blobs: Path) -> None:
        """A dataclass is read by its class."""
        assert there_and_back(value, blobs) == value

    def test_what_json_loses_is_pickled(self, blobs: Path) -> None:
        """A field that JSON would give back as something else."""
        value = Order("a", (1, 2))  # type: ignore[arg-type]
        assert there_and_back(value, blobs, "pickle").rows == (1, 2)

    def test_a_class_that_is_gone(self, blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Who reads without the class is told, and can pass another one."""
        stored = store(Order("a", [1]), blobs)
        monkeypatch.delattr(__import__("sys").modules[__name__], "Order")
        with pytest.raises(ArtifactError, match="Order"):
            restore(stored, in_folder(blobs))
        assert restore(stored, in_folder(blobs), hint=dict[str, Any]) == {"sku": "a", "rows": [1]}


SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, max_side=5)
DTYPES = st.one_of(
    hnp.scalar_dtypes(), hnp.byte_string_dtypes(), hnp.unicode_string_dtypes(),
    hnp.array_dtypes(hnp.integer_dtypes()),
)  # fmt: skip


class TestArrays:
    @often
    @given(value=DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)))
    def test_numpy(self, value: Any, blobs: Path) -> None:
        """Arrays of every dtype and shape, those of no dimension included."""
        again = there_and_back(value, blobs, "numpy")
        assert (again.dtype, again.shape) == (value.dtype, value.shape)
        assert again.tobytes() == value.tobytes()

    @often
    @given(value=hnp.scalar_dtypes().flatmap(hnp.from_dtype))
    def test_scalars(self, value: Any, blobs: Path) -> None:
        """numpy's own numbers stay numpy's."""
        assert there_and_back(value, blobs, "numpy").tobytes() == value.tobytes()

    def test_what_npy_loses_is_pickled(self, blobs: Path) -> None:
        """Arrays of objects, and masked ones."""
        masked = np.ma.masked_array([1, 2], mask=[True, False])
        assert there_and_back(masked, blobs, "pickle").mask.tolist() == [True, False]
        assert there_and_back(np.array([{}, 1], object), blobs, "pickle").tolist() == [{}, 1]

    @often
    @given(
        dense=hnp.arrays(np.float64, (4, 3), elements=st.sampled_from([0.0, 0.0, 1.5, -2.0])),
        format=st.sampled_from(["csc", "csr", "coo", "dia", "bsr"]),
        make=st.sampled_from([scipy.sparse.csr_array, scipy.sparse.csr_matrix]),
    )
    def test_sparse(self, dense: Any, format: str, make: Any, blobs: Path) -> None:
        """Sparse matrices and arrays of each format."""
        value = make(dense).asformat(format)
        again = there_and_back(value, blobs, "sparse")
        assert again.format == format
        assert (again.toarray() == dense).all()

    def test_sparse_by_key_is_pickled(self, blobs: Path) -> None:
        """A format that scipy cannot write."""
        value = scipy.sparse.dok_array((2, 2))
        value[0, 1] = 3.0
        assert there_and_back(value, blobs, "pickle").toarray().tolist() == [[0, 3], [0, 0]]


FRAMES = hpd.data_frames(
    [
        hpd.column("i", dtype=np.int32),
        hpd.column("f", dtype=float),
        hpd.column("t", elements=st.one_of(st.text(alphabet='aé😀\n"'), st.none())),
        hpd.column("b", dtype=bool),
        hpd.column("d", dtype="datetime64[us]"),
    ]
)
STRANGE = {
    "named columns": pd.DataFrame([[1, 2]], columns=pd.Index(["a", "b"], name="axis")),
    "number columns": pd.DataFrame({0: [1], 7: [2]}),
    "no columns": pd.DataFrame(index=[3, 1]),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype="int8")}),
    "text index": pd.DataFrame({"a": [1, 2]}, index=["x", "y"]),
    "two levels": pd.DataFrame(
        {"a": [1, 2]}, index=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["k", None])
    ),
    "categories": pd.DataFrame({"c": pd.Categorical(["b", "a"], ["b", "a", "z"], ordered=True)}),
    "time zone": pd.DataFrame({"t": pd.date_range("2026-03-28", periods=3, tz="Europe/Berlin")}),
    "periods": pd.DataFrame({"p": pd.period_range("2026-01", periods=2, freq="M")}),
    "intervals": pd.DataFrame({"i": pd.interval_range(0, 2)}),
    "missing numbers": pd.DataFrame({"n": pd.array([1, None], dtype="Int64")}),
    "durations": pd.DataFrame({"d": pd.to_timedelta([1, 2], unit="s")}),
    "complex": pd.DataFrame({"z": [1 + 2j]}),
    "lists": pd.DataFrame({"l": [[1, 2], None]}, dtype=object),
    "mixed": pd.DataFrame({"m": [1, "a", None, 2.5]}, dtype=object),
    "integers as objects": pd.DataFrame({"m": [1, 2]}, dtype=object),
    "dates": pd.DataFrame({"d": [datetime.date(2026, 1, 2)]}, dtype=object),
    "dicts": pd.DataFrame({"d": [{"a": 1}, {"b": 2}]}, dtype=object),
    "twice the same name": pd.DataFrame([[1, 2]], columns=["a", "a"]),
    "sparse": pd.DataFrame({"s": pd.arrays.SparseArray([0, 0, 1])}),
}


class TestTables:
    @often
    @given(frame=FRAMES)
    def test_pandas(self, frame: Any, blobs: Path) -> None:
        """Frames of numbers, texts, truths and times, as Parquet."""
        pd.testing.assert_frame_equal(there_and_back(frame, blobs), frame)

    @pytest.mark.parametrize(
        "index",
        [
            pd.date_range("2026-01-01", periods=3, freq="D"),
            pd.date_range("2026-01-01", periods=3, freq="MS", tz="Europe/Berlin"),
            pd.timedelta_range("0h", periods=3, freq="2h"),
        ],
    )
    def test_the_frequency_of_dates_comes_back(self, index: Any, blobs: Path) -> None:
        """Dates that follow each other by a rule: pandas shifts by it."""
        frame = pd.DataFrame({"a": range(3)}, index=index)
        pd.testing.assert_frame_equal(there_and_back(frame, blobs), frame, check_freq=True)

    @pytest.mark.parametrize("frame", STRANGE.values(), ids=STRANGE.keys())
    def test_strange_frames(self, frame: Any, blobs: Path) -> None:
        """Whatever a frame has comes back, as Parquet or else pickled."""
        again = there_and_back(frame, blobs)
        pd.testing.assert_frame_equal(again, frame, check_freq=False)
        for name in frame.select_dtypes("object").columns:
            assert list(map(type, again[name])) == list(map(type, frame[name]))

    @pytest.mark.parametrize(
        "frame",
        [
            pd.DataFrame({"a": [1, 2]}, index=pd.Index([5, 6], name=0)),
            pd.DataFrame({"a": [1, 2]}, index=pd.RangeIndex(2, name=0)),
            pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, "x")], names=[0, "k"])),
            pd.DataFrame([[1, 2]], columns=[1, "a"]),
            pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([(1, "a"), ("b", 2)])),
            pd.Series([1.5], index=pd.Index(["x"], name=("of", 2))),
        ],
        ids=["index", "range", "levels", "columns", "levels of columns", "series"],
    )
    def test_names_that_are_no_texts_come_back_without_a_warning(
        self, frame: Any, blobs: Path
    ) -> None:
        """Parquet would make texts of them: nobody is to be told so of what is kept as it is."""
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            again = there_and_back(frame, blobs)
        check = pd.testing.assert_frame_equal if frame.ndim == 2 else pd.testing.assert_series_equal
        check(again, frame)

    @often
    @given(series=hpd.series(dtype=float), name=st.one_of(st.none(), st.text(), st.integers()))
    def test_series(self, series: Any, name: Any, blobs: Path) -> None:
        """A column, whatever its name."""
        value = series.rename(name)
        pd.testing.assert_series_equal(there_and_back(value, blobs), value)

    def test_values_that_repeat_take_little_space(self, blobs: Path) -> None:
        """In a large frame a column has a dictionary where that makes it smaller."""
        random = np.random.default_rng(1)
        rows = 600_000
        frame = pd.DataFrame(
            {
                "flag": random.integers(0, 2, rows).astype(float),
                "number": random.standard_normal(rows),
                "word": random.choice(["a", "b"], rows),
            }
        )
        pd.testing.assert_frame_equal(there_and_back(frame, blobs, "pandas"), frame)
        (file,) = store(frame, blobs).files
        group = pq.ParquetFile(blobs / file.blob).metadata.row_group(0)
        columns = [group.column(number) for number in range(3)]
        assert [column.has_dictionary_page for column in columns] == [True, False, True]

    def test_a_frame_is_a_parquet_file(self, blobs: Path) -> None:
        """DuckDB, or anything else that reads Parquet, reads it without us."""
        import duckdb

        stored = store(pd.DataFrame({"a": [1, 2], "b": ["x", None]}), blobs)
        path = blobs / stored.files[0].blob
        assert duckdb.sql(f"SELECT sum(a), min(b) FROM read_parquet('{path}')").fetchall() == [
            (3, "x")
        ]
        assert stored.facts == {"rows": 2, "columns": 2, "schema": {"a": "int64", "b": "str"}}

    @often
    @given(
        rows=st.lists(
            st.fixed_dictionaries(
                {"i": st.integers(0, 9), "t": st.one_of(st.text(), st.none()), "d": st.dates()}
            )
        ),
        series=st.booleans(),
    )
    def test_polars(self, rows: Any, series: bool, blobs: Path) -> None:
        """Frames and columns of polars."""
        frame = pl.DataFrame(rows, schema={"i": pl.Int8, "t": pl.String, "d": pl.Date})
        value = frame["t"] if series else frame
        again = there_and_back(value, blobs, "polars")
        assert again.equals(value, null_equal=True)
        assert (again.name if series else again.schema) == (value.name if series else value.schema)

    def test_polars_objects_are_pickled_or_refused(self, blobs: Path) -> None:
        """A column that Parquet has not does not come back as something else."""
        frame = pl.DataFrame({"a": pl.Series([object()], dtype=pl.Object)})
        with pytest.raises(ArtifactError, match=r"polars\.\S*DataFrame"):
            store(frame, blobs)

    @often
    @given(rows=st.lists(st.fixed_dictionaries({"a": st.integers(0, 9), "b": st.text()})))
    def test_arrow(self, rows: Any, blobs: Path) -> None:
        """Tables of Arrow."""
        value = pa.Table.from_pylist(rows, schema=pa.schema({"a": pa.int16(), "b": pa.string()}))
        assert there_and_back(value, blobs, "arrow").equals(value)

    def test_arrow_columns_that_parquet_has_not(self, blobs: Path) -> None:
        """A table that Parquet cannot hold is an Arrow file."""
        kinds, places = pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32())
        union = pa.UnionArray.from_dense(kinds, places, [pa.array([1]), pa.array(["a"])])
        value = pa.table({"either": union})
        assert there_and_back(value, blobs, "arrow").equals(value)
        assert [file.name for file in store(value, blobs).files] == ["value.arrow"]


class TestPictures:
    @often
    @given(
        mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "F", "I", "HSV"]),
        data=st.binary(min_size=6 * 16, max_size=6 * 16),
    )
    def test_images(self, mode: str, data: bytes, blobs: Path) -> None:
        """Images of every mode, always with a PNG."""
        blank = Image.new(mode, (3, 2))
        value = Image.frombytes(mode, (3, 2), data[: len(blank.tobytes())])
        again = there_and_back(value, blobs)
        assert (again.mode, again.size) == (value.mode, value.size)
        assert again.tobytes() == value.tobytes()
        files = {file.name: file.blob for file in store(value, blobs).files}
        if mode != "P":
            assert (blobs / files["picture.png"]).read_bytes()[:4] == b"\x89PNG"

    def test_an_image_that_was_read(self, blobs: Path) -> None:
        """An image as a library read it from a file comes back as an image."""
        buffer = io.BytesIO()
        Image.new("RGB", (4, 4), "red").save(buffer, "JPEG")
        with Image.open(io.BytesIO(buffer.getvalue())) as value:
            stored = store(value, blobs)
            assert restore(stored, in_folder(blobs)).tobytes() == value.tobytes()

    def test_figures(self, blobs: Path) -> None:
        """A figure comes back as one that can be drawn further, and is there as PNG."""
        figure = matplotlib.figure.Figure()
        figure.subplots().plot([1, 2], [3, 5], label="line")
        stored = store(figure, blobs)
        again = restore(stored, in_folder(blobs))
        assert again.axes[0].lines[0].get_ydata().tolist() == [3, 5]
        files = {file.name: file.blob for file in stored.files}
        assert (blobs / files["picture.png"]).read_bytes()[:4] == b"\x89PNG"


class TestCode:
    @often
    @given(rows=hnp.arrays(float, (5, 2), elements=st.floats(-9, 9)))
    def test_models(self, rows: Any, blobs: Path) -> None:
        """A model predicts the same afterwards; the record says what it was made with."""
        model = LinearRegression().fit(rows, rows[:, 0])
        again = there_and_back(model, blobs, "model")
        assert (again.predict(rows) == model.predict(rows)).all()
        stored = store(model, blobs)
        assert {"sklearn", "numpy", "python"} <= stored.about["libraries"].keys()
        assert (stored.role, stored.facts["features"]) == ("model", 2)

    @often
    @given(value=st.builds(dict, key=st.builds(object), n=st.integers()))
    def test_anything(self, value: Any, blobs: Path) -> None:
        """What no kind fits is pickled."""
        assert there_and_back(value, blobs, "pickle")["n"] == value["n"]

    def test_large_buffers_are_stored_once(self, blobs: Path) -> None:
        """Two objects that hold the same large array hold the same file, and can write to it."""
        array = np.zeros(300_000)
        first, second = store([object(), array], blobs), store([len, array], blobs)
        assert first.files[1] == second.files[1]
        again = restore(second, in_folder(blobs))[1]
        again[0] = 1

    def test_a_foreign_pickle_is_refused(
        self, blobs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing runs of a pickle that another user wrote, until this one says so."""
        monkeypatch.setenv("WARMCELL_KEY_DIR", str(tmp_path / "theirs"))
        touched = tmp_path / "touched"
        stored = store([touched.touch, Bomb(touched)], blobs)
        frame = store(pd.DataFrame({"a": [1]}), blobs)
        monkeypatch.setenv("WARMCELL_KEY_DIR", str(tmp_path / "mine"))
        with pytest.raises(NotTrusted, match="somebody else"):
            restore(stored, in_folder(blobs))
        assert not touched.exists()
        assert restore(frame, in_folder(blobs))["a"].tolist() == [1]
        stored.about = endorse(stored)
        restore(stored, in_folder(blobs))
        assert touched.exists()

    def test_a_signature_is_of_one_content(self, blobs: Path) -> None:
        """The signature of one pickle does not open another."""
        good, bad = store([len], blobs), store([print], blobs)
        bad.about["signature"] = good.about["signature"]
        with pytest.raises(NotTrusted):
            restore(bad, in_folder(blobs))
        good.files, good.about["sha256"] = bad.files, bad.about["sha256"]
        with pytest.raises(ArtifactError):
            restore(good, in_folder(blobs))

    def test_what_cannot_be_written_says_so(self, blobs: Path) -> None:
        """A connection cannot be kept, and nothing is left of the attempt."""
        connection = sqlite3.connect(":memory:")
        with pytest.raises(ArtifactError, match=r"sqlite3\.Connection"):
            store(connection, blobs)
        connection.close()
        assert not list(blobs.iterdir())


class Bomb:
    """What touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


class TestPaths:
    @often
    @given(data=st.binary())
    def test_files(self, data: bytes, blobs: Path, tmp_path: Path) -> None:
        """A path of a file is the path of an equal file of that name."""
        path = tmp_path / "a file.txt"
        path.write_bytes(data)
        again = there_and_back(path, blobs, "path")
        assert again != path
        assert (again.name, again.read_bytes()) == (path.name, data)

    @often
    @given(
        content=st.dictionaries(
            st.sampled_from(["a", "b.txt", "in/c", "in/deep/d", "é"]), st.binary(), max_size=5
        )
    )
    def test_folders(self, content: dict[str, bytes], blobs: Path, tmp_path: Path) -> None:
        """A folder comes back with everything in it, empty folders included."""
        folder = Path(tmp_path / f"folder{len(list(tmp_path.iterdir()))}")
        (folder / "empty").mkdir(parents=True)
        for name, data in content.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        again = there_and_back(folder, blobs, "path")
        found = {p.relative_to(again).as_posix(): p for p in again.rglob("*")}
        assert {n: p.read_bytes() for n, p in found.items() if p.is_file()} == content
        assert found["empty"].is_dir()

    def test_a_path_of_nothing(self, blobs: Path) -> None:
        """A path where nothing is stays that path."""
        assert there_and_back(Path("/no/such/file"), blobs, "path") == Path("/no/such/file")

    def test_links_are_refused(self, blobs: Path, tmp_path: Path) -> None:
        """A folder with a link in it is not kept: it could be a link to anything."""
        folder = tmp_path / "linked"
        folder.mkdir()
        (folder / "link").symlink_to("/etc")
        with pytest.raises(ArtifactError, match="link"):
            store(folder, blobs)

    def test_a_record_cannot_write_outside(self, blobs: Path, tmp_path: Path) -> None:
        """A name that leads out of the folder is refused, whoever wrote it."""
        folder = tmp_path / "good"
        folder.mkdir()
        (folder / "a").write_text("x")
        stored = store(folder, blobs)
        stored.files[0].name = "content/../../../evil"
        stored.about["sha256"] = {"content/../../../evil": stored.about["sha256"]["content/a"]}
        from warmcell.artifacts import storing

        stored.digest = storing._digest(stored, None)
        with pytest.raises(ArtifactError, match="no name"):
            restore(stored, in_folder(blobs))


class TestOwn:
    @often
    @given(value=st.builds(Point, st.integers(), st.integers()))
    def test_a_class_of_ones_own(self, value: Point, blobs: Path) -> None:
        """A registered serializer is used for its class, with several files."""
        assert there_and_back(value, blobs, "test-point") == value

    def test_subclasses_and_mistakes(self, blobs: Path) -> None:
        """A subclass is written by its parent's serializer; what cannot work is said at once."""

        class Special(Point):
            pass

        assert store(Special(1, 2), blobs).kind == "test-point"
        for cls, serializer in ((Point, Points), (3, Points()), (object, Points())):
            with pytest.raises(DefinitionError):
                register(cls, serializer)  # type: ignore[arg-type]
        with pytest.raises(DefinitionError, match="numpy"):
            register(Point, type("Other", (Points,), {"kind": "numpy"})())
        with pytest.raises(NotFound, match="hologram"):
            serializer_of("hologram")


class TestTime:
    @given(items=st.lists(st.binary(max_size=2000), max_size=20))
    @often
    def test_a_value_as_it_was(self, items: list[bytes], blobs: Path) -> None:
        """What is taken is written later as it was then, whatever became of it; nothing is on the
        disk before."""
        known = sorted(path.name for path in blobs.iterdir())
        value = {"items": [np.frombuffer(item, "uint8").copy() for item in items], "o": object}
        before = [item.tobytes() for item in value["items"]]
        finish = prepare(value, blobs, hold=1 << 20)
        assert sorted(path.name for path in blobs.iterdir()) == known
        for item in value["items"]:
            item[:] = 7
        value.clear()
        again = restore(finish(), in_folder(blobs))
        assert [item.tobytes() for item in again["items"]] == before

    def test_what_is_too_much_for_memory_is_written_at_once(self, blobs: Path) -> None:
        """Of more than that the file is there before the value can change."""
        value = bytearray(b"x" * 100_000)
        finish = prepare(value, blobs, hold=50_000)
        (written,) = blobs.iterdir()
        assert written.stat().st_size == 100_000
        value[:] = b""
        assert restore(finish(), in_folder(blobs)) == bytearray(b"x" * 100_000)

    @pytest.mark.parametrize("pieces", [[], [b"a"], [b"b" * 3_000_000, b"c", b"d" * 5]])
    def test_a_file_hashed_as_it_is_written(self, pieces: list[bytes], blobs: Path) -> None:
        """Its digest is that of the file, whatever the size of the pieces."""
        out = Outgoing(blobs)
        with out.opened("value") as file:
            for piece in pieces:
                file.write(piece)
        out.close()
        ((name, digest),) = out.sha256.items()
        data = (blobs / digest[:32]).read_bytes()
        assert (name, data, digest) == ("value", b"".join(pieces), sha256(data).hexdigest())

    @pytest.mark.parametrize("dtype", ["str", "string", "string[python]", object])
    def test_texts_of_pandas(self, dtype: Any, blobs: Path) -> None:
        """Each kind of text column comes back as its own kind, missing values included."""
        frame = pd.DataFrame({"x": pd.array(["a", None, "ä\n"], dtype=dtype)})
        kind = "pickle" if dtype == "string[python]" else "pandas"
        again = there_and_back(frame, blobs, kind)
        assert again["x"].dtype == frame["x"].dtype
        named = frame.set_index(pd.Index(["a", "b", "c"], dtype=dtype))
        assert there_and_back(named, blobs).index.dtype == named.index.dtype


class TestTorch:
    @often
    @given(data=st.data())
    def test_tensors(self, data: st.DataObject, blobs: Path) -> None:
        """Of every dtype and shape, views and such that want gradients."""
        torch = pytest.importorskip("torch", reason="needs torch")
        dtype = data.draw(
            st.sampled_from([np.float32, np.float64, np.float16, np.int64, np.uint8, np.bool_])
        )
        shape = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
        value = torch.from_numpy(data.draw(hnp.arrays(dtype, shape)).copy())
        if data.draw(st.booleans()):
            value = value.T if value.ndim == 2 else value[..., ::2] if value.ndim else value
        if value.is_floating_point():
            value.requires_grad_(data.draw(st.booleans()))
        again = there_and_back(value, blobs, "torch")
        assert (again.dtype, again.shape) == (value.dtype, value.shape)
        assert again.requires_grad == value.requires_grad
        assert again.detach().numpy().tobytes() == value.detach().numpy().tobytes()

    def test_other_tensors(self, blobs: Path) -> None:
        """Those that numpy does not know, and a part of a large one, which is kept alone."""
        torch = pytest.importorskip("torch", reason="needs torch")
        half = torch.arange(6, dtype=torch.bfloat16).reshape(2, 3)
        assert torch.equal(there_and_back(half, blobs, "torch"), half)
        sparse = torch.eye(4).to_sparse()
        assert torch.equal(there_and_back(sparse, blobs, "torch").to_dense(), torch.eye(4))
        part = torch.zeros(1_000_000)[:3]
        (file,) = store(part, blobs).files
        assert file.size < 10_000
        parameter = torch.nn.Parameter(torch.ones(2))
        assert torch.equal(there_and_back(parameter, blobs, "pickle"), parameter)

    @often
    @given(sizes=st.lists(st.integers(1, 6), min_size=2, max_size=4), seed=st.integers(0, 1000))
    def test_modules(self, sizes: list[int], seed: int, blobs: Path) -> None:
        """The module answers as before, and its weights are in a file of torch's own."""
        torch = pytest.importorskip("torch", reason="needs torch")
        torch.manual_seed(seed)
        layers = [torch.nn.Linear(a, b) for a, b in pairwise(sizes)]
        value = torch.nn.Sequential(*layers, torch.nn.BatchNorm1d(sizes[-1])).eval()
        given = torch.ones(3, sizes[0])
        again = there_and_back(value, blobs, "torch-module")
        assert torch.equal(again(given), value(given))
        assert again.training is False
        (file,) = (one for one in store(value, blobs).files if one.name == "weights.pt")
        loaded = torch.load(io.BytesIO((blobs / file.blob).read_bytes()), weights_only=True)
        assert torch.equal(loaded["0.weight"], value[0].weight)
