"""Bodies that are not JSON: tables, arrays, files and pictures, in and out."""

from __future__ import annotations

import base64
import http.client
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pandas
import pyarrow
import pyarrow.ipc
import pytest
from PIL import Image

from tests.server.test_bad_input import problem
from tests.support.http import Response
from tests.support.jupyter import JupyterServer

CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
NPY = "application/x-npy"
OCTETS = "application/octet-stream"
PNG = "image/png"
LIMIT = 8 * 1024 * 1024
CELLS = """\
%load_ext warmcell
import pathlib
import matplotlib
matplotlib.use("agg")
import matplotlib.figure
import numpy as np
import pandas as pd
from PIL import Image
from typing import Annotated
from warmcell import pipeline, step

@step
def scale(frame: pd.DataFrame, factor: float) -> Annotated[pd.DataFrame, "scaled"]:
    return frame * factor

@pipeline
def table(frame: pd.DataFrame, factor: float = 2.0) -> pd.DataFrame:
    return scale(frame, factor)

@step
def add(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return left + right

@pipeline
def arrays(left: np.ndarray, right: np.ndarray = np.zeros(1)) -> np.ndarray:
    return add(left, right)

@step
def read(path: pathlib.Path, note: str) -> dict:
    return {"name": path.name, "size": path.stat().st_size, "path": str(path), "note": note}

@pipeline
def file(path: pathlib.Path, note: str = "") -> dict:
    return read(path, note)

@step
def turn(picture: Image.Image) -> Image.Image:
    return picture.rotate(90, expand=True)

@pipeline
def picture(picture: Image.Image) -> Image.Image:
    return turn(picture)

@step
def draw(n: int) -> Annotated[matplotlib.figure.Figure, "plot"]:
    figure = matplotlib.figure.Figure(figsize=(2, 1))
    figure.subplots().plot(range(n))
    return figure

@step
def squares(n: int) -> Annotated[list, "squares"]:
    return [i * i for i in range(n)]

@pipeline
def chart(n: int = 3):
    return draw(n), squares(n)

@pipeline
def listed(n: int = 3):
    return squares(n)

@step
def blob(size: int) -> bytes:
    return bytes(range(256)) * (size // 256) + bytes(range(size % 256))

@pipeline
def binary(size: int) -> bytes:
    return blob(size)

@step
def say(name: str) -> str:
    return f"hello {name}"

@pipeline
def text(name: str) -> str:
    return say(name)

@step
def total(data, times):
    return float(data.sum().sum()) * times

@pipeline
def untyped(data, times=1):
    return total(data, times)

@step
def many(files: list[bytes], labels: list[str], when: str, options: dict) -> dict:
    return {"sizes": [len(f) for f in files], "labels": labels, "when": when, **options}

@pipeline
def form(files: list[bytes], labels: list[str], when: str = "", options: dict = {}) -> dict:
    return many(files, labels, when, options)

for one in (table, arrays, file, picture, chart, binary, text, untyped, form, listed):
    one.deploy(one.name)
chart.deploy("unrecorded", settings={"record": "none"})
chart.deploy("errors-only", settings={"record": "errors"})
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterServer]:
    """A server with the deployments of CELLS, which takes uploads of 8 MiB."""
    folder = tmp_path_factory.mktemp("payloads")
    config = {"Warmcell": {"upload_limit": LIMIT}}
    made = JupyterServer(folder / "root", folder, config=config).start()
    try:
        made.kernel("author.ipynb").run(CELLS)
        yield made
    finally:
        made.stop()


def home(server: JupyterServer) -> Path:
    return server.root / ".warmcell"


def uploads(server: JupyterServer) -> list[Path]:
    """What lies in the folder of uploads, but for the hosts' own folders."""
    return [path for folder in (home(server) / "uploads").iterdir() for path in folder.iterdir()]


def post(
    server: JupyterServer, path: str, body: bytes, kind: str, accept: str | None = None
) -> Response:
    headers = {"Content-Type": kind, **({"Accept": accept} if accept else {})}
    return server.request("POST", f"warmcell/{path}", body=body, headers=headers)


def output(answer: Response) -> Any:
    """The only output of a JSON answer."""
    assert answer.status == 200, answer.text
    (value,) = answer.json()["outputs"].values()
    return value


def form(*parts: tuple[str, bytes | str, str | None, str | None]) -> tuple[bytes, str]:
    """A body of name, data, file name and type, and its content type."""
    pieces = []
    for name, data, filename, kind in parts:
        head = f'Content-Disposition: form-data; name="{name}"'
        head += f'; filename="{filename}"' if filename is not None else ""
        head += f"\r\nContent-Type: {kind}" if kind else ""
        pieces.append(b"--limit\r\n" + head.encode() + b"\r\n\r\n")
        pieces.append((data.encode() if isinstance(data, str) else data) + b"\r\n")
    return b"".join(pieces) + b"--limit--\r\n", "multipart/form-data; boundary=limit"


FRAME = pandas.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
DOUBLED = [{"a": 2.0, "b": 6.0}, {"a": 4.0, "b": 8.0}]


def arrow(frame: pandas.DataFrame) -> bytes:
    sink = io.BytesIO()
    data = pyarrow.Table.from_pandas(frame, preserve_index=False)
    with pyarrow.ipc.new_stream(sink, data.schema) as stream:
        stream.write_table(data)
    return sink.getvalue()


def npy(array: Any) -> bytes:
    buffer = io.BytesIO()
    numpy.save(buffer, array)
    return buffer.getvalue()


def png(width: int = 4, height: int = 2) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(buffer, "PNG")
    return buffer.getvalue()


# -- in ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (CSV, FRAME.to_csv(index=False).encode()),
        ("text/csv; charset=utf-16", FRAME.to_csv(index=False).encode("utf-16")),
        (ARROW, arrow(FRAME)),
        (NPY, npy(FRAME.to_records(index=False))),
        ("application/json", FRAME.to_json(orient="records").encode()),
        ("application/json", b" \n" + FRAME.to_json(orient="records").encode()),
    ],
    ids=["csv", "utf-16", "arrow", "npy", "json", "json-with-space"],
)
def test_a_table(server: JupyterServer, kind: str, body: bytes) -> None:
    """A table arrives in each of its forms, and the history says what it was."""
    answer = post(server, "table/invoke", body, kind)
    assert output(answer) == DOUBLED
    used = answer.json()["metadata"]["parameters_used"]
    assert used["factor"] == 2.0
    if not kind.startswith("application/json"):
        assert used["frame"]["$preview"].startswith("2 rows x 2 columns")
        assert used["frame"]["$content_type"] == kind.partition(";")[0]
        assert used["frame"]["$size"] == len(body)
    run = server.get(f"warmcell/table/runs/{answer.json()['metadata']['run_id']}").json()
    assert run["parameters"] == used


def test_other_parameters_come_from_the_query(server: JupyterServer) -> None:
    """The query has the other parameters, as text that is read as their type says."""
    body = FRAME.to_csv(index=False).encode()
    assert output(post(server, "table/invoke?factor=10", body, CSV))[0] == {"a": 10.0, "b": 30.0}
    wrong = post(server, "table/invoke?factor=much&colour=red", body, CSV)
    errors = problem(wrong, 422, "parameter-error")["errors"]
    assert {e["pointer"] for e in errors} == {"/parameters/factor", "/parameters/colour"}


def test_arrays_and_which_parameter(server: JupyterServer) -> None:
    """Where a body could be more than one parameter, the caller says which."""
    body = npy(numpy.arange(3.0))
    named = post(server, "arrays/invoke?parameter=left&right=[1,2,3]", body, NPY)
    assert output(named) == [1.0, 3.0, 5.0]
    refused = problem(post(server, "arrays/invoke", body, NPY), 422, "parameter-error")
    assert "left, right" in refused["detail"]
    assert "?parameter=left" in refused["hint"]
    problem(post(server, "arrays/invoke?parameter=up", body, NPY), 422, "parameter-error")


def test_without_types(server: JupyterServer) -> None:
    """A parameter without a type gets what the body is."""
    body = FRAME.to_csv(index=False).encode()
    found = post(server, "untyped/invoke?parameter=data&times=2", body, CSV)
    assert output(found) == 20.0
    found = post(server, "untyped/invoke?parameter=data", npy(numpy.ones(5)), NPY)
    assert output(found) == 5.0


@pytest.mark.parametrize(
    ("name", "kind", "body"),
    [
        ("table", ARROW, b"no arrow"),
        ("table", ARROW, arrow(FRAME)[:-40]),
        ("table", CSV, b""),
        ("table", CSV, b'a,b\n"1'),
        ("table", "text/csv; charset=nonsense", b"a\n1"),
        ("table", "application/json", b'[{"a": 1}, 2]'),
        ("table", "application/json", b'[{"a": '),
        ("arrays?parameter=left", NPY, b"\x93NUMPY"),
        ("arrays?parameter=left", NPY, npy(numpy.array([object()], dtype=object))),
        ("arrays?parameter=left", NPY, npy(numpy.zeros(3)).replace(b"(3,)", b"(9,)")),
        ("picture", PNG, b"\x89PNG\r\n\x1a\nnothing"),
        ("picture", PNG, png()[:-30]),
    ],
)
def test_bytes_that_are_not_what_they_say(
    server: JupyterServer, name: str, kind: str, body: bytes
) -> None:
    """A body that cannot be read is a 422 with a pointer to its parameter."""
    name, _, query = name.partition("?")
    answer = post(server, f"{name}/invoke?{query}", body, kind)
    (error,) = problem(answer, 422, "parameter-error")["errors"]
    assert error["pointer"].startswith("/parameters/")


def test_a_body_that_no_parameter_takes(server: JupyterServer) -> None:
    """Such a body is a 415 that says what is taken."""
    assert (
        "JSON"
        in problem(post(server, "text/invoke", b"a\n1", CSV), 415, "unsupported-media")["hint"]
    )
    problem(post(server, "table/invoke", png(), PNG), 415, "unsupported-media")
    unknown = problem(post(server, "table/invoke", b"x", "text/x-odd"), 415, "unsupported-media")
    for kind in (CSV, ARROW, NPY, "multipart/form-data"):
        assert kind in unknown["hint"]
    problem(post(server, "text/invoke", b"[1]", "application/json"), 422, "parameter-error")


def test_the_control_plane_takes_json_only(server: JupyterServer) -> None:
    """Only what runs a deployment takes other types."""
    problem(post(server, "api/v1/sql", b"a\n1", CSV), 415, "unsupported-media")


def test_a_form(server: JupyterServer) -> None:
    """Files and texts of a form are parameters by name, several of one name a list."""
    body, kind = form(
        ("files", b"one", "1.bin", OCTETS),
        ("files", b"three", "2.bin", None),
        ("labels", "a", None, None),
        ("labels", "b", None, None),
        ("when", "123", None, None),
        ("options", '{"x": [1]}', None, None),
    )
    found = output(post(server, "form/invoke", body, kind))
    assert found == {"sizes": [3, 5], "labels": ["a", "b"], "when": "123", "x": [1]}
    body, kind = form(("files", b"one", "1.bin", None), ("labels", "a", None, None))
    assert output(post(server, "form/invoke", body, kind))["labels"] == ["a"]
    body, kind = form(("files", b"one", "1.bin", None), ("labels", '["c", "d"]', None, None))
    assert output(post(server, "form/invoke", body, kind))["labels"] == ["c", "d"]


@pytest.mark.parametrize(
    ("filename", "data", "kind"),
    [
        ("a.csv", FRAME.to_csv(index=False), OCTETS),
        ("a", FRAME.to_csv(index=False), CSV),
        ("a.arrows", arrow(FRAME), None),
        ("a.arrow", arrow(FRAME), OCTETS),
        ("a.json", FRAME.to_json(orient="records"), "application/json"),
        (None, FRAME.to_json(orient="records"), None),
        (None, FRAME.to_csv(index=False), CSV),
    ],
)
def test_a_table_in_a_form(
    server: JupyterServer, filename: str | None, data: Any, kind: str | None
) -> None:
    """A table in a form is known by its type, else by the name of its file."""
    body, content_type = form(("frame", data, filename, kind), ("factor", "2", None, None))
    assert output(post(server, "table/invoke", body, content_type)) == DOUBLED


@pytest.mark.parametrize("extension", ["feather", "parquet"])
def test_files_of_tables(server: JupyterServer, extension: str, tmp_path: Path) -> None:
    """The common files of tables are read too."""
    path = tmp_path / f"table.{extension}"
    getattr(FRAME, f"to_{extension}")(path)
    body, kind = form(("frame", path.read_bytes(), path.name, OCTETS))
    assert output(post(server, "table/invoke", body, kind)) == DOUBLED


def test_errors_in_a_form(server: JupyterServer) -> None:
    """Everything that is wrong with a form is told at once, with pointers."""
    body, kind = form(
        ("labels", "a", None, None),
        ("odd", "1", None, None),
        ("when", b"\xff\xfe", None, None),
    )
    found = problem(post(server, "form/invoke", body, kind), 422, "parameter-error")
    pointers = {e["pointer"] for e in found["errors"]}
    assert pointers == {"/parameters/files", "/parameters/odd", "/parameters/when"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--limit",
        b"--limit--",
        b"--limit\r\n\r\nx\r\n--limit--",
        b'--limit\r\nContent-Disposition: form-data; name="a"\r\n\r\nx',
        b"--limit\r\nContent-Disposition: form-data\r\n\r\nx\r\n--limit--",
        b'--limit\r\nContent-Disposition: attachment; name="a"\r\n\r\nx\r\n--limit--',
        b'--limit\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n--limit--',
        b'--limit\r\nContent-Disposition: form-data; name="a"\r\n--limit--',
        b"x--limit--",
    ],
)
def test_a_broken_form(server: JupyterServer, body: bytes) -> None:
    """A form that is none is the caller's error."""
    answer = post(server, "text/invoke", body, "multipart/form-data; boundary=limit")
    assert answer.status in (400, 422), answer.text
    problem(post(server, "text/invoke", body, "multipart/form-data"), 400, "bad-request")


def test_a_file_on_disk(server: JupyterServer) -> None:
    """A path parameter is a file of the client's name, which is gone after the run."""
    body, kind = form(("path", b"hello", "../../über uns.txt", None), ("note", "n", None, None))
    found = output(post(server, "file/invoke", body, kind))
    assert (found["name"], found["size"], found["note"]) == ("über uns.txt", 5, "n")
    assert not os.path.exists(found["path"])
    single = output(post(server, "file/invoke?note=x", b"a\n1\n", CSV))
    assert (single["name"], single["size"], single["note"]) == ("body.csv", 4, "x")


def test_a_picture(server: JupyterServer) -> None:
    """A picture goes in and comes out, by form, as the body and as base64 in JSON."""
    body, kind = form(("picture", png(4, 2), "a.png", OCTETS))
    for answer in (
        post(server, "picture/invoke", body, kind, PNG),
        post(server, "picture/invoke", png(4, 2), PNG, "image/*"),
    ):
        assert answer.status == 200, answer.text
        assert answer.headers["content-type"] == PNG
        assert Image.open(io.BytesIO(answer.body)).size == (2, 4)


def test_a_large_body_goes_through_a_file(server: JupyterServer) -> None:
    """A body over a megabyte lies in a file while it is needed, whether or not its length is
    announced, and the file is gone with the run."""
    frame = pandas.DataFrame({"a": numpy.arange(200_000), "b": 0.5})
    body = arrow(frame)
    assert len(body) > 2 << 20
    answer = post(server, "untyped/invoke?parameter=data", body, ARROW)
    assert output(answer) == float(frame.sum().sum())
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {"Content-Type": ARROW, "Authorization": f"token {server.token}"}
    chunks = (body[i : i + 100_000] for i in range(0, len(body), 100_000))
    path = "/warmcell/untyped/invoke?parameter=data"
    connection.request("POST", path, body=chunks, headers=headers, encode_chunked=True)
    chunked = connection.getresponse()
    assert json.loads(chunked.read())["outputs"] == answer.json()["outputs"]
    connection.close()
    form_body, kind = form(("path", body, "data.arrows", None), ("note", "large", None, None))
    found = output(post(server, "file/invoke", form_body, kind))
    assert found["size"] == len(body)
    assert Path(found["path"]).is_relative_to(home(server) / "uploads")
    wait_until_empty(server)


def wait_until_empty(server: JupyterServer) -> None:
    """Files are removed behind the answer; another answer from the same loop comes after it."""
    for _ in range(200):
        if not uploads(server):
            return
        server.get("warmcell/table/livez")
    assert not uploads(server)


def test_an_asynchronous_run_keeps_its_body(server: JupyterServer) -> None:
    """The file of a run that nobody waits for is there until the run has ended."""
    body = b"x" * (3 << 20)
    headers = {"Content-Type": OCTETS, "Prefer": "respond-async"}
    answer = server.request("POST", "warmcell/file/invoke", body=body, headers=headers)
    assert answer.status == 202, answer.text
    path = f"warmcell/file/runs/{answer.json()['run_id']}"
    run = server.get(path, headers={"Prefer": "wait=30"}).json()
    assert run["status"] == "succeeded", run
    assert run["outputs"]["output"]["size"] == len(body)
    assert run["parameters"]["path"]["$size"] == len(body)
    wait_until_empty(server)


def test_the_upload_limit(server: JupyterServer) -> None:
    """A body over the limit is a 413 that names the limit and its setting, announced or not."""
    body = b" " * (LIMIT + 1)
    found = problem(post(server, "file/invoke", body, OCTETS), 413, "too-large")
    assert str(LIMIT) in found["detail"]
    assert "upload_limit" in found["hint"]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers = {"Content-Type": OCTETS, "Authorization": f"token {server.token}"}
    chunks = (b" " * (1 << 20) for _ in range(9))
    connection.request(
        "POST", "/warmcell/file/invoke", body=chunks, headers=headers, encode_chunked=True
    )
    answer = connection.getresponse()
    assert answer.status == 413
    answer.read()
    connection.close()
    wait_until_empty(server)


def test_a_client_that_leaves_while_it_sends(server: JupyterServer) -> None:
    """What it sent so far is removed."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.putrequest("POST", "/warmcell/file/invoke")
    for name, value in {
        "Content-Type": OCTETS,
        "Content-Length": str(5 << 20),
        "Authorization": f"token {server.token}",
    }.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(b"x" * (3 << 20))
    for _ in range(400):
        if uploads(server):
            break
        server.get("warmcell/table/livez")
    assert uploads(server)
    connection.close()
    wait_until_empty(server)


def test_uploads_are_private(server: JupyterServer) -> None:
    """Nobody else on the machine can look into the folder."""
    assert (home(server) / "uploads").stat().st_mode & 0o077 == 0


# -- out -----------------------------------------------------------------------------------------


def invoke(
    server: JupyterServer, name: str, accept: str, /, query: str = "", **parameters: Any
) -> Response:
    return server.post(
        f"warmcell/{name}/invoke{query}", {"parameters": parameters}, headers={"Accept": accept}
    )


def test_a_table_as_it_is_asked_for(server: JupyterServer) -> None:
    """A table comes out in the form that the caller likes best; JSON is the default."""
    rows = FRAME.to_dict(orient="records")
    csv = invoke(server, "table", CSV, frame=rows)
    assert csv.headers["content-type"] == "text/csv; charset=utf-8"
    assert pandas.read_csv(io.BytesIO(csv.body)).to_dict(orient="records") == DOUBLED
    assert csv.headers["vary"] == "Accept"
    found = invoke(server, "table", f"{ARROW}, application/json;q=0.5", frame=rows)
    assert found.headers["content-type"] == ARROW
    assert pyarrow.ipc.open_stream(found.body).read_all().to_pylist() == DOUBLED
    for accept in ("*/*", "application/json", "text/html, */*;q=0.1", f"{CSV};q=0.1, */*", "%"):
        assert output(invoke(server, "table", accept, frame=rows)) == DOUBLED
    run = server.get(f"warmcell/table/runs/{csv.headers['x-run-id']}").json()
    assert list(run["outputs"].values()) == [DOUBLED]


def test_arrays_bytes_and_text(server: JupyterServer) -> None:
    """Arrays as npy or CSV, bytes as they are, text as text."""
    array = invoke(server, "arrays", NPY, left=[1, 2], right=[3, 4])
    assert numpy.load(io.BytesIO(array.body)).tolist() == [4, 6]
    assert invoke(server, "arrays", CSV, left=[1, 2], right=[3, 4]).body == b"4\r\n6\r\n"
    assert invoke(server, "binary", OCTETS, size=300).body == bytes(range(256)) + bytes(range(44))
    text = invoke(server, "text", "text/*", name="Zoë")
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert text.text == "hello Zoë"


def test_one_of_several_outputs(server: JupyterServer) -> None:
    """Of several outputs the caller names one."""
    answer = invoke(server, "chart", PNG, "?output=plot", n=4)
    assert answer.headers["content-type"] == PNG
    assert Image.open(io.BytesIO(answer.body)).format == "PNG"
    refused = problem(invoke(server, "chart", PNG, n=4), 406, "not-acceptable")
    assert "?output=plot" in refused["hint"]
    problem(invoke(server, "chart", PNG, "?output=odd", n=4), 422, "parameter-error")


def test_what_cannot_be_had(server: JupyterServer) -> None:
    """An answer that the caller does not accept is a 406 that names what there is, and where the
    type of the output says so the pipeline does not run."""
    rows = FRAME.to_dict(orient="records")
    refused = problem(invoke(server, "table", PNG, frame=rows), 406, "not-acceptable")
    for kind in ("application/json", CSV, ARROW):
        assert kind in refused["hint"]
    assert "run_id" not in refused
    late = problem(invoke(server, "untyped", CSV, data=1), 500, "run-error")
    assert late["step"] == "total"
    late = problem(
        post(server, "untyped/invoke?parameter=data", npy(numpy.ones(2)), NPY, CSV),
        406,
        "not-acceptable",
    )
    run = server.get(f"warmcell/untyped/runs/{late['run_id']}").json()
    assert (run["status"], run["error"], list(run["outputs"].values())) == (
        "succeeded",
        None,
        [2.0],
    )


def test_figures_are_kept_as_files(server: JupyterServer) -> None:
    """The JSON of a figure says where it is; there it is an attachment that can do no harm."""
    answer = server.invoke("chart", {"n": 5})
    run_id = answer.json()["metadata"]["run_id"]
    plot = answer.json()["outputs"]["plot"]
    assert plot == {
        "content_type": PNG,
        "size": plot["size"],
        "href": f"runs/{run_id}/outputs/plot",
    }
    found = server.get(f"warmcell/chart/{plot['href']}")
    assert found.status == 200, found.text
    assert len(found.body) == plot["size"] == int(found.headers["content-length"])
    assert Image.open(io.BytesIO(found.body)).format == "PNG"
    assert found.headers["content-type"] == PNG
    assert found.headers["content-disposition"].startswith('attachment; filename="chart-plot.png"')
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["content-security-policy"].startswith("sandbox")
    head = server.request("HEAD", f"warmcell/chart/{plot['href']}")
    assert (head.status, head.headers["content-length"]) == (200, str(plot["size"]))
    as_json = server.get(f"warmcell/chart/{plot['href']}", headers={"Accept": "application/json"})
    assert as_json.json() == plot
    other = server.get(f"warmcell/chart/{plot['href']}", headers={"Accept": CSV})
    assert PNG in problem(other, 406, "not-acceptable")["hint"]
    squares = server.get(f"warmcell/chart/runs/{run_id}/outputs/squares")
    assert squares.json() == [0, 1, 4, 9, 16]


def test_outputs_that_are_not_there(server: JupyterServer) -> None:
    """An output, a run or a deployment that is none is a 404; a run that failed has none."""
    answer = server.invoke("chart", {"n": 2})
    run_id = answer.json()["metadata"]["run_id"]
    found = problem(server.get(f"warmcell/chart/runs/{run_id}/outputs/odd"), 404, "not-found")
    assert "plot, squares" in found["detail"]
    problem(server.get(f"warmcell/table/runs/{run_id}/outputs/plot"), 404, "not-found")
    problem(server.get(f"warmcell/nothing/runs/{run_id}/outputs/plot"), 404, "not-found")
    failed = server.invoke("untyped", {"data": "text"}).json()["run_id"]
    problem(server.get(f"warmcell/untyped/runs/{failed}/outputs/output"), 409, "conflict")


@pytest.mark.parametrize("name", ["unrecorded", "errors-only"])
def test_figures_of_runs_that_are_not_kept(server: JupyterServer, name: str) -> None:
    """Where the history has no run the JSON has the picture itself."""
    plot = server.invoke(name, {"n": 2}).json()["outputs"]["plot"]
    assert Image.open(io.BytesIO(base64.b64decode(plot["data"]))).format == "PNG"
    assert "href" not in plot


def test_small_and_large_bytes(server: JupyterServer) -> None:
    """Bytes are base64 in JSON while they are small, and a file when they are not; from the
    history they come as they are."""
    for size in (300, 3 << 20):
        answer = server.invoke("binary", {"size": size})
        value = output(answer)
        assert isinstance(value, str) == (size == 300)
        run_id = answer.json()["metadata"]["run_id"]
        (name,) = answer.json()["outputs"]
        found = server.get(f"warmcell/binary/runs/{run_id}/outputs/{name}")
        assert found.headers["content-type"] == OCTETS
        assert len(found.body) == size
        assert found.body[:256] == bytes(range(256))


def test_a_large_table_is_kept_as_arrow(server: JupyterServer) -> None:
    """So is a large table; its outputs in the history are small."""
    frame = pandas.DataFrame({"a": numpy.arange(150_000.0)})
    answer = post(server, "table/invoke", arrow(frame), ARROW)
    value = output(answer)
    assert value["content_type"] == ARROW
    found = server.get(f"warmcell/table/{value['href']}")
    assert pyarrow.ipc.open_stream(found.body).read_all().num_rows == 150_000
    run_id = answer.json()["metadata"]["run_id"]
    run = server.get(f"warmcell/table/runs/{run_id}").json()
    assert list(run["outputs"].values()) == [value]
    blobs = list((home(server) / "blobs").iterdir())
    (kept,) = [a for a in run["artifacts"] if a["kind"] == "output"]
    assert kept["digest"] in {path.name for path in blobs}


def test_large_json_is_kept_as_a_file(server: JupyterServer) -> None:
    """A row of the history stays small, whatever a run returns: its caller gets the JSON, the run
    shows it, and beyond a megabyte says where it is; a repeated request gets the same answer."""
    for count, shown in ((20_000, True), (400_000, False)):
        body = {"parameters": {"n": count}}
        key = {"Idempotency-Key": f"large-{count}"}
        first = server.post("warmcell/listed/invoke", body, headers=key)
        assert first.status == 200, first.text
        answer = first.json()
        squares = answer["outputs"]["squares"]
        assert len(squares) == count
        run_id = answer["metadata"]["run_id"]
        query = f"SELECT outputs FROM runs WHERE run_id = '{run_id}'"
        [[kept]] = server.post("warmcell/api/v1/sql", {"query": query}).json()["rows"]
        href = f"runs/{run_id}/outputs/squares"
        assert kept["squares"]["href"] == href
        run = server.get(f"warmcell/listed/runs/{run_id}").json()
        assert run["outputs"] == ({"squares": squares} if shown else kept)
        fetched = server.get(f"warmcell/listed/{href}")
        assert fetched.headers["content-type"] == "application/json"
        assert fetched.json() == squares
        again = server.post("warmcell/listed/invoke", body, headers=key)
        assert again.headers["idempotency-replayed"] == "true"
        assert again.json()["outputs"] == answer["outputs"]
