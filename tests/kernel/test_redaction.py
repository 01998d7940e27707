"""Redaction: what is masked before it leaves the kernel, and what is left as it is."""

from __future__ import annotations

import json
import logging
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pydantic
import pytest

from tests.kernel.executing import MemoryRecorder
from warmcell import Pipeline, get_secret, log_metadata, output, pipeline, step
from warmcell.artifacts.storing import store
from warmcell.batch import run as run_batch
from warmcell.errors import ArtifactError, NotFound, RunError, UsageError
from warmcell.redaction import MASK, NONE, Redaction, patterns_of
from warmcell.secrets import delete_secret, list_secrets, secrets_file, set_secret

VALUE = 'päss"word\\of 42'


class Login(pydantic.BaseModel):
    user: str
    password: pydantic.SecretStr


def kept(pipeline: Pipeline, **arguments: Any) -> tuple[str, Any]:
    """All that a recorder gets of a run, as text, and the run or its error."""
    recorder = MemoryRecorder()
    ended: Any
    try:
        ended = run_batch(pipeline, arguments, recorder=recorder)
    except RunError as error:
        ended = error
    records = [*recorder.started, *recorder.details, *recorder.finished]
    return msgspec.json.encode(records).decode(), ended


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("WARMCELL_KEY_DIR", str(tmp_path / "keys"))
    output.uninstall()  # it would write to the output of another test
    yield
    output.uninstall()


def test_a_secret_is_kept_for_its_user_alone() -> None:
    """Set, read, listed without its value, replaced and forgotten; nobody else may read the file,
    even where a copy had made it readable."""
    set_secret("db", VALUE)
    assert get_secret("db") == VALUE
    assert list(list_secrets()) == ["db"]
    assert VALUE not in str(list_secrets())
    secrets_file().chmod(0o644)
    set_secret("db", "another one")
    assert get_secret("db") == "another one"
    assert stat.S_IMODE(secrets_file().stat().st_mode) == 0o600
    delete_secret("db")
    with pytest.raises(NotFound, match="There is no secret 'db'"):
        get_secret("db")


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [("", "long enough", "no name"), ("a/b", "long enough", "no name"), ("a", "abc", "fewer than")],
)
def test_a_secret_that_does_not_fit_is_refused(name: str, value: str, told: str) -> None:
    """A name that is none, and a value that is too short to be masked."""
    with pytest.raises(UsageError, match=told):
        set_secret(name, value)
    assert list_secrets() == {}


def test_the_value_of_a_named_secret_is_in_no_part_of_a_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Printed, logged, returned, in metadata, inside of JSON and in an error: all is masked in the
    record and in what the cell shows; the caller has the value itself."""
    set_secret("token", VALUE)

    @step
    def read() -> dict[str, Any]:
        value = get_secret("token")
        print("the token is", value)
        logging.getLogger("test").warning("token %s", value)
        log_metadata({"header": f"Bearer {value}"})
        return {"nested": [{"header": f"Bearer {value}"}], value: 1}

    @pipeline
    def reading() -> dict[str, Any]:
        return read()

    record, run = kept(reading)
    assert run.outputs["output"] == {"nested": [{"header": f"Bearer {VALUE}"}], VALUE: 1}
    assert MASK in record
    for form in (VALUE, json.dumps(VALUE)[1:-1], json.dumps(VALUE, ensure_ascii=False)[1:-1]):
        assert form not in record
    shown = capsys.readouterr()
    assert VALUE not in shown.out + shown.err
    assert f"the token is {MASK}" in shown.out


def test_the_error_of_a_step_is_masked() -> None:
    """Message and traceback; the exception itself is the user's own."""
    set_secret("token", VALUE)

    @step
    def fail() -> int:
        raise ValueError(f"cannot log in with {get_secret('token')}")

    @pipeline
    def failing() -> int:
        return fail()

    record, error = kept(failing)
    assert VALUE in str(error.__cause__)
    assert "word\\of 42" not in record
    assert f"cannot log in with {MASK}" in record


def test_keys_that_fit_a_pattern_are_masked_at_any_depth() -> None:
    """In parameters, outputs of steps and of the run, metadata and what is printed; also where the
    value of such a parameter is written without its name."""

    @step
    def use(account: dict[str, Any], api_key: str) -> Annotated[dict[str, Any], "used"]:
        print("as", account)
        print("key:", api_key)
        log_metadata({"db_password": "hunter-3", "rows": 3})
        return {"Password": "hunter-2", "rows": [{"user": "ada", "PASSWORD_2": 1234}]}

    @pipeline(settings={"redact": ["*password*", "api_key"]})
    def using(account: dict[str, Any], api_key: str) -> dict[str, Any]:
        return use(account, api_key)

    account = {"user": "ada", "password": "hunter-1"}
    record, run = kept(using, account=account, api_key="key-of-ada")
    assert run.outputs["used"]["Password"] == "hunter-2"
    for value in ("hunter", "key-of-ada", "1234"):
        assert value not in record
    shown = {"account": {"user": "ada", "password": MASK}, "api_key": MASK}
    assert run.parameters == shown
    metadata = {
        one["key"]: one["value"]
        for part in msgspec.json.decode(record)
        for one in part.get("metadata", ())
    }
    assert metadata == {"db_password": MASK, "rows": 3}


def test_secret_types_are_masked_in_what_is_written() -> None:
    """The value of a pydantic Secret among the arguments is masked where a step prints it."""

    @step
    def log_in(login: Login) -> str:
        print("logging in with", login.password.get_secret_value())
        return login.user

    @pipeline
    def entering(login: Login) -> str:
        return log_in(login)

    record, _ = kept(entering, login=Login(user="ada", password=pydantic.SecretStr("open sesame")))
    assert "open sesame" not in record
    assert f"logging in with {MASK}" in record


def test_what_a_redaction_covers_is_not_kept_as_a_file() -> None:
    """Names that fit, tables with a column that fits, and values of Secret types or with one."""
    pandas = pytest.importorskip("pandas")
    redaction = Redaction(["*password*"])
    assert redaction.covers("Passwords")
    assert redaction.covers("table", pandas.DataFrame({"user": ["a"], "password": ["b"]}))
    assert redaction.covers("login", [Login(user="a", password="bcde")])
    assert not redaction.covers("table", pandas.DataFrame({"user": ["a"]}))
    assert not redaction.covers("rows", [{"user": "a"}])
    assert NONE.covers("login", {"of": Login(user="a", password=pydantic.SecretStr("bcde"))})
    assert not NONE.covers("passwords", ["bcde"])


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("password=abc, user=ada", f"password={MASK}, user=ada"),
        ("{'db_password': 'a \\' b', 'n': 1}", f"{{'db_password': {MASK}, 'n': 1}}"),
        ('"PASSWORD":"x"}', f'"PASSWORD":{MASK}}}'),
        ("no pass word = 3", "no pass word = 3"),
    ],
)
def test_text_is_masked_behind_a_key(text: str, masked: str) -> None:
    """As in a log, a dict that was printed, JSON; other text stays as it is."""
    assert Redaction(["*password*"]).text(text) == masked


def test_json_that_holds_nothing_to_mask_is_the_same_bytes() -> None:
    """Numbers and spaces are not written anew."""
    data = b'{"a": 1.50, "b":[1e3]}'
    assert Redaction(["*password*"]).json(data) is data


@pytest.mark.parametrize("given", ["*", ["ok", ""], 3, [None], {"a": 1}])
def test_a_pattern_that_masks_all_or_nothing_is_refused(given: Any) -> None:
    """It is a mistake, and is said where it is written."""
    with pytest.raises(UsageError, match="'redact' takes names"):
        patterns_of(given)


def test_the_command_line_never_prints_a_value(tmp_path: Path) -> None:
    """``secrets set`` reads standard input, ``secrets list`` shows names."""

    def said(*words: str, piped: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "warmcell", "secrets", *words],
            input=piped, capture_output=True, text=True, timeout=60,
        )  # fmt: skip

    assert said("set", "mail", piped=f"{VALUE}\n").returncode == 0
    listed = said("list", "--json")
    assert [secret["name"] for secret in json.loads(listed.stdout)] == ["mail"]
    assert VALUE not in listed.stdout + listed.stderr
    assert get_secret("mail") == VALUE
    assert said("delete", "mail").returncode == 0
    assert "There is no secret 'mail'" in said("delete", "mail").stderr


def _values() -> Iterator[tuple[str, Any]]:
    import numpy
    import pandas
    import polars
    import pyarrow

    many = [f"row {n}" for n in range(5_000)]
    rows = [*many, f"as {VALUE} says"]
    yield "text", "x" * 50_000 + VALUE
    yield "small text", f"the {VALUE}"
    yield "bytes", b"\0" * 40_000_000 + VALUE.encode()
    yield "json", {"rows": rows}
    yield "pandas", pandas.DataFrame({"row": rows})
    yield "categories", pandas.DataFrame({"row": pandas.Categorical(rows)})
    yield "polars", polars.DataFrame({"row": rows})
    yield "lists", polars.DataFrame({"row": [rows]})
    yield "arrow", pyarrow.table({"row": rows})
    yield "nested", pyarrow.table({"row": [{"of": rows}]})
    yield "pickle", {"of": object, "rows": (rows, numpy.ones(3))}
    yield "strings", numpy.array(rows)
    yield "big-endian strings", numpy.array(rows).astype(">U40")
    yield "fields", numpy.array([(row, 1) for row in rows], dtype=[("row", "U40"), ("n", int)])
    yield "pickled strings", {"of": object, "rows": numpy.array(rows)}


def test_no_file_holds_a_named_secret(tmp_path: Path) -> None:
    """Whatever a value is written as, with a secret that was read in it none of it is written;
    without one it is."""
    set_secret("warehouse", VALUE)
    assert get_secret("warehouse") == VALUE
    for kind, value in _values():
        folder = tmp_path / kind
        folder.mkdir()
        with pytest.raises(ArtifactError, match="named secret"):
            store(value, folder)
        assert list(folder.iterdir()) == [], kind
    assert store({"rows": ["row"] * 50_000}, folder).files


def test_an_ascii_secret_is_found_in_texts_of_numpy(tmp_path: Path) -> None:
    """Whatever the order of the bytes."""
    import numpy

    set_secret("plain", "sesame-in-arrays")
    get_secret("plain")
    for order in "<>":
        texts = numpy.array(["x" * 20, "a sesame-in-arrays b"] * 500).astype(f"{order}U20")
        with pytest.raises(ArtifactError, match="named secret"):
            store(texts, tmp_path)
        assert store(texts[::2], tmp_path).files


def test_a_file_with_a_key_that_fits_is_not_kept() -> None:
    """At any depth, however large the value is, and in texts."""
    redaction = Redaction(["*password*"])
    rows: list[Any] = [{"user": n} for n in range(5_000)]
    assert not redaction.holds("rows", rows)
    assert redaction.holds("rows", [*rows, {"of": {"db_password": "x"}}])
    assert redaction.holds("text", "x" * 50_000 + " password=abc")
    assert not redaction.holds("text", "x" * 50_000)
