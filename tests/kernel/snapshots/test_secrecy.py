"""A snapshot that would store a named secret says so, and how to do without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel.shells import Notebook, notebook
from warmcell.secrets import set_secret, set_values
from warmcell.snapshots import capture

VALUE = "sesame-of-snapshots"


@pytest.fixture
def nb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    monkeypatch.setenv("WARMCELL_KEY_DIR", str(tmp_path / "keys"))
    set_secret("warehouse", VALUE)
    set_values("db", {"user": "ada-of-db", "password": "hunter-of-db"})
    with notebook() as cells:
        cells("from warmcell import get_secret, step, pipeline")
        yield cells


PIPELINE = "@pipeline\ndef reading():\n    return read()"


def notes(nb: Notebook, *cells: str) -> list[str]:
    for cell in (*cells, PIPELINE):
        nb(cell)
    found = capture({"pipeline": nb["reading"]}, namespace=nb.shell.user_ns).notes
    assert not any(value in " ".join(found) for value in (VALUE, "hunter-of-db"))
    return found


@pytest.mark.parametrize(
    "cell",
    [
        "token = get_secret('warehouse')",
        "token = {'headers': ['Bearer ' + get_secret('warehouse')]}",
        "token = get_secret('warehouse').encode()",
        "class Connection:\n    pass\ntoken = Connection()\ntoken.key = get_secret('warehouse')",
        "import pydantic\ntoken = pydantic.SecretStr(get_secret('warehouse'))",
    ],
)
def test_a_variable_with_a_secret_is_named(nb: Notebook, cell: str) -> None:
    """However it holds it: text, bytes, in a container, an attribute or a Secret type."""
    (note,) = notes(nb, cell, "@step\ndef read():\n    return str(token)")
    assert note == (
        "`token`, used by `read`, holds a named secret, and is written into the stored snapshot. "
        "Read it in the step or in `on_init` instead: `get_secret('warehouse')`."
    )


def test_defaults_and_closures_are_variables_too(nb: Notebook) -> None:
    """The note says which value of a secret it is."""
    (note,) = notes(nb, "@step\ndef read(key=get_secret('db', 'password')):\n    return key")
    assert note.startswith("`key`, used by `read`, holds")
    assert "`get_secret('db', 'password')`" in note


def test_code_and_options_with_a_secret_are_told_of(nb: Notebook) -> None:
    """A literal in a cell, and what is given to a step as an option."""
    (note,) = notes(nb, f"@step\ndef read():\n    return {VALUE!r}")
    assert note.startswith("The code of this snapshot has a named secret in it.")
    option = "@step(environment={'A': get_secret('warehouse')})\ndef read():\n    return 1"
    (note,) = notes(nb, option)
    assert note.startswith("This snapshot holds a named secret, in an option or a value")


def test_a_secret_that_is_read_in_the_step_is_no_news(nb: Notebook) -> None:
    """The ways that the notes name, and other variables."""
    cell = "other = 'nothing'\n@step(secrets=['db'])\ndef read():\n"
    assert notes(nb, cell + "    return get_secret('warehouse') + other") == []
