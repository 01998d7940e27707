"""Media types and bodies that are not JSON, without a server."""

from __future__ import annotations

import io
import json
import mmap
from pathlib import Path
from typing import Annotated, Any

import matplotlib.figure
import msgspec
import numpy as np
import pandas as pd
import pydantic
import pytest
from PIL import Image

from warmcell import wire
from warmcell.artifacts.figures import png
from warmcell.bodies import check_accept, give, media, receive
from warmcell.bodies.giving import LARGE
from warmcell.bodies.multipart import parts
from warmcell.bodies.sources import Source, file_name
from warmcell.errors import BadRequest, NotAcceptable, OutputError, ParameterError
from warmcell.schemas import ParameterModel, output_schema, parameter_model
from warmcell.schemas.kinds import kind_of
from warmcell.steps import OutputSpec

JSON, CSV, ARROW, PNG = media.JSON, media.CSV, media.ARROW, media.PNG


def call(body: bytes = b"", kind: str | None = None, **options: Any) -> wire.Invoke:
    return wire.Invoke(1, "key", "run", body, content_type=kind, **options)


# -- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "offers", "expected"),
    [
        ("text/csv", (JSON, CSV), CSV),
        ("TEXT/CSV", (JSON, CSV), CSV),
        ("*/*", (JSON, CSV), JSON),
        ("text/*", (JSON, CSV), CSV),
        ("application/json;q=0.5, text/csv", (JSON, CSV), CSV),
        ("application/json;q=0.5, text/csv;q=0.4", (JSON, CSV), JSON),
        ("text/csv;q=0, */*", (JSON, CSV), JSON),
        ("application/json;q=0, */*;q=0.1", (JSON, CSV), CSV),
        ("text/csv;q=0, text/*", (CSV,), None),
        ("image/png", (JSON, CSV), None),
        ("text/csv;q=nonsense, application/json", (JSON, CSV), JSON),
        ("", (JSON, CSV), JSON),
        (",;=,/", (JSON, CSV), JSON),
        ("image/png", (), None),
    ],
)
def test_negotiation(accept: str, offers: tuple[str, ...], expected: str | None) -> None:
    """The best that is accepted counts; of equals the first that is offered."""
    assert media.best(accept, offers) == expected


@pytest.mark.parametrize(
    ("value", "json", "known"),
    [
        ("application/json", True, False),
        ("application/JSON; Charset=UTF-8", True, False),
        ("application/problem+json", True, False),
        ("application/json; charset=latin-1", False, False),
        ("text/csv", False, True),
        ('multipart/form-data; boundary="a b"', False, True),
        ("text/html", False, False),
        ("", False, False),
        (";;;", False, False),
    ],
)
def test_content_types(value: str, json: bool, known: bool) -> None:
    """What is JSON, and what else is known."""
    assert (media.is_json(value), media.is_known(value)) == (json, known)


def test_a_quoted_boundary() -> None:
    """Parameters of a media type may be quoted."""
    found = media.parse('multipart/form-data; boundary="a; b=c"')
    assert found == ("multipart/form-data", {"boundary": "a; b=c"})


@pytest.mark.parametrize(
    ("hint", "name", "many"),
    [
        (pd.DataFrame, "frame", False),
        (pd.DataFrame | None, "frame", False),
        (Annotated[pd.Series, "s"], "series", False),
        (np.ndarray[Any, np.dtype[np.float64]], "array", False),
        (Image.Image, "image", False),
        (list[bytes], "bytes", True),
        (list[int], "other", False),
        (Path | str, "path", False),
        (str, "text", False),
        (str | None, "text", False),
        (int | str, "other", False),
        (Any, "any", False),
        (None, "any", False),
        (dict[str, pd.DataFrame], "other", False),
    ],
)
def test_kinds_of_hints(hint: Any, name: str, many: bool) -> None:
    """A type hint says what a body can be for it."""
    assert kind_of(hint) == (name, many)


# -- forms ---------------------------------------------------------------------------------------


def form(*pairs: tuple[str, bytes], boundary: str = "xx") -> bytes:
    head = b'--%b\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'
    mark = boundary.encode()
    return b"".join(head % (mark, n.encode(), d) for n, d in pairs) + b"--%b--\r\n" % mark


TRICKY = [
    b"",
    b"\r\n",
    b"a--xx",
    b"\r\n-",
    b"\r\n--x",
    b"\r\n\r\n",
    b"\0" * 10,
    b" --xx--",
    b"\r\n--",
]


def test_parts_keep_their_bytes(tmp_path: Path) -> None:
    """Whatever is in a part comes out of it, from memory and from a file."""
    body = form(*((f"é{n}", data) for n, data in enumerate(TRICKY)))
    path = tmp_path / "body"
    path.write_bytes(body)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        for source in (body, mapped):
            found = [(part.name, bytes(part.data)) for part in parts(source, "xx")]
            assert found == [(f"é{n}", data) for n, data in enumerate(TRICKY)]
        del found


def test_every_cut_of_a_form_is_refused() -> None:
    """A form that ends too early is an error wherever it ends, never a shorter form."""
    body = form(("a", b"1"), ("b", b"22")).removesuffix(b"--\r\n")
    for length in range(len(body)):
        with pytest.raises(BadRequest):
            parts(body[:length], "xx")


def test_names_of_files_are_harmless() -> None:
    """What a client calls its file cannot lead out of the folder, nor hide in it."""
    for given in (
        "../../etc/passwd",
        "..",
        ".",
        "/",
        "C:\\x\\..\\y",
        "a\0b",
        "",
        ".hidden",
        "x" * 999,
    ):
        name = file_name(Source(memoryview(b""), media.parse(CSV), given))
        assert name
        assert "/" not in name
        assert "\\" not in name
        assert "\0" not in name
        assert not name.startswith(".")
        assert len(name) <= 120


# -- in ------------------------------------------------------------------------------------------


class Point(pydantic.BaseModel):
    x: int


def model() -> ParameterModel:
    def function(
        data: bytes,
        point: Point | None = None,
        on: bool = False,
        names: list[str] = [],  # noqa: B006
        text: str | None = None,
        weights: np.ndarray[Any, np.dtype[np.float32]] | None = None,
    ) -> None: ...

    return parameter_model(function)


def test_texts_are_read_as_their_types() -> None:
    """A text is what its parameter's type makes of it: itself, a number, JSON."""
    query = {"point": '{"x": 3}', "on": "yes", "names": "one", "text": "12"}
    found = receive(model(), call(b"\0\1", media.OCTETS, query=query))
    assert found.arguments == {
        "data": b"\0\1",
        "point": Point(x=3),
        "on": True,
        "names": ["one"],
        "text": "12",
        "weights": None,
    }
    used = json.loads(found.used)
    assert used["data"] == {
        "$type": "bytes",
        "$preview": "2 bytes",
        "$content_type": media.OCTETS,
        "$size": 2,
    }
    assert used["point"] == {"x": 3}


def test_what_does_not_fit_has_a_pointer_into_it() -> None:
    """Errors within the JSON of a text point to the place."""
    query = {"point": '{"x": "a", "y": 1}', "on": "perhaps"}
    with pytest.raises(ParameterError) as caught:
        receive(model(), call(b"", media.OCTETS, query=query))
    assert {e["pointer"] for e in caught.value.errors} == {"/parameters/point/x", "/parameters/on"}


def test_arrays_get_their_declared_type() -> None:
    """An array is converted where only precision is lost, else refused."""
    buffer = io.BytesIO()
    np.save(buffer, np.arange(3))
    body = buffer.getvalue()
    query = {"parameter": "weights", "data": "x"}
    found = receive(model(), call(body, media.NPY, query=query)).arguments["weights"]
    assert (found.dtype, found.tolist()) == (np.float32, [0.0, 1.0, 2.0])
    buffer = io.BytesIO()
    np.save(buffer, np.array([1j]))
    with pytest.raises(ParameterError, match="float32"):
        receive(model(), call(buffer.getvalue(), media.NPY, query=query))


def test_large_json_is_described_in_the_history() -> None:
    """Parameters that are large are not stored a second time."""

    def function(rows: list[int]) -> None: ...

    body = json.dumps({"rows": list(range(100_000))}).encode()
    found = receive(parameter_model(function), call(body))
    assert len(found.arguments["rows"]) == 100_000
    assert json.loads(found.used) == {
        "rows": {"$type": "list", "$preview": "list of 100,000: int, …"}
    }


def test_bytes_in_json_go_both_ways() -> None:
    """What bytes are as JSON on the way out they are on the way in."""
    data = bytes(range(256))
    raw = give({"data": data}, call(), None).outputs
    assert receive(model(), call(raw)).arguments["data"] == data


# -- out -----------------------------------------------------------------------------------------


def figure() -> matplotlib.figure.Figure:
    made = matplotlib.figure.Figure(figsize=(1, 1))
    made.subplots()
    return made


def test_files_are_content_addressed(tmp_path: Path) -> None:
    """The same output is kept once, and its record has the digest that names it."""
    for _ in range(2):
        given = give({"data": b"x" * (LARGE + 1), "n": 1}, call(), tmp_path)
        shown = json.loads(given.outputs)
        assert shown["n"] == 1
        assert shown["data"]["href"] == "runs/run/outputs/data"
        (record,) = given.artifacts
        (kept,) = tmp_path.iterdir()
        assert (kept.name, kept.stat().st_size) == (record.digest, record.size)
        assert kept.stat().st_mode & 0o077 == 0
    folder = tmp_path / "none"
    with pytest.raises(OutputError, match="cannot be kept"):
        give({"plot": figure()}, call(), folder)


def test_a_name_that_is_no_path(tmp_path: Path) -> None:
    """An output's name is quoted where it stands in a URL."""
    given = give({"a/b ?": figure()}, call(), tmp_path)
    assert json.loads(given.outputs)["a/b ?"]["href"] == "runs/run/outputs/a%2Fb%20%3F"


def test_pictures_of_every_mode() -> None:
    """A picture that PNG does not have is converted."""
    for mode in ("1", "L", "P", "RGB", "RGBA", "CMYK", "F", "I", "YCbCr", "LAB", "HSV"):
        with Image.open(io.BytesIO(png(Image.new(mode, (3, 2))))) as read:
            assert (read.format, read.size) == ("PNG", (3, 2))


def test_unknown_types_are_decided_by_the_value() -> None:
    """Without an annotation only the value tells; then the run is not at fault."""
    message = call(accept=CSV)
    check_accept((OutputSpec("out", None),), message)
    given = give({"out": 5}, message, None)
    assert given.body is None
    assert given.refusal is not None
    assert json.loads(given.outputs) == {"out": 5}
    with pytest.raises(NotAcceptable):
        check_accept((OutputSpec("out", int),), message)
    frame = give({"out": pd.DataFrame({"a": [1, "b"]})}, call(accept=ARROW), None)
    assert frame.refusal is not None


def test_bytes_that_are_a_picture() -> None:
    """Bytes can be had as what they begin like."""
    data = png(Image.new("L", (1, 1)))
    assert give({"out": data}, call(accept="image/*"), None).content_type == PNG
    assert give({"out": b"abc"}, call(accept="image/*"), None).refusal is not None


def test_schemas_of_files() -> None:
    """The schema of a figure is a file's; of what may be too large for JSON, either."""
    schema = output_schema(
        [("plot", matplotlib.figure.Figure), ("table", pd.DataFrame), ("n", int)]
    )
    found = schema["properties"]
    assert found["plot"]["required"] == ["content_type", "size"]
    assert found["plot"] in found["table"]["anyOf"]
    assert found["n"] == {"type": "integer"}


def test_messages_keep_what_is_new_short() -> None:
    """A call of JSON is not a byte longer on the link for what it does not use."""
    plain = msgspec.msgpack.encode(wire.Invoke(1, "k", "r", b"{}"))
    for field in (b"content_type", b"accept", b"fleeting", b"file", b"query"):
        assert field not in plain
