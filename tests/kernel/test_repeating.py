"""What of a run's input can be given once more."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from warmcell import repeating
from warmcell.errors import ParameterError
from warmcell.redaction import MASK
from warmcell.schemas import parameter_model


class Login(pydantic.BaseModel):
    name: str
    password: pydantic.SecretStr
    older: list[pydantic.SecretStr] = []
    inner: Login | None = None


def takes(login: Login | int, key: pydantic.SecretBytes | None = None, table: Any = None) -> None:
    """The function of a pipeline."""


MODEL = parameter_model(takes)
SCHEMA = MODEL.json_schema()


def recorded(**parameters: Any) -> dict[str, Any]:
    """Parameters as the history has them."""
    found: dict[str, Any] = pydantic.TypeAdapter(dict[str, Any]).validate_json(
        MODEL.dump(MODEL.validate(parameters))
    )
    return found


def places(parameters: dict[str, Any] | None, *given: str) -> list[str]:
    return [gap.name for gap in repeating.gaps(parameters, SCHEMA, given)]


def test_a_secret_is_a_gap_wherever_it_is() -> None:
    """Secrets in models, unions, lists and models in models, each by its place."""
    login = {"name": "a", "password": "p", "older": ["o", "q"], "inner": {"name": "b",
             "password": "r"}}  # fmt: skip
    found = recorded(login=login, key=b"k")
    assert places(found) == [
        "login.password", "login.older.0", "login.older.1", "login.inner.password", "key",
    ]  # fmt: skip
    assert places(found, "login") == ["key"]
    assert places(recorded(login=3)) == []
    assert places(recorded(login=3, table="**********")) == []


def test_what_was_redacted_is_a_gap() -> None:
    """Whatever the signature says of it: by name, or a named secret within a text."""
    assert places({"login": 1, "table": {"password": MASK, "rows": [f"Bearer {MASK}", "a"]}}) == [
        "table.password", "table.rows.0",
    ]  # fmt: skip


def test_what_is_only_described_is_a_gap() -> None:
    """Values too large, and files; a dict of a caller's own that has a `$type` is none."""
    described = {"$type": "pandas.DataFrame", "$preview": "3 rows"}
    file = {"$type": "bytes", "$content_type": "image/png", "$size": 12345}
    assert places({"login": 1, "key": None, "table": described}) == ["table"]
    assert places({"login": 1, "key": None, "table": [file, file]}) == ["table"]
    assert places({"login": 1, "key": None, "table": {"$type": "Order", "id": 1}}) == []
    (gap,) = repeating.gaps({"table": file}, SCHEMA)
    assert gap.why == "the history has only a description of this image/png of 12,345 bytes"


def test_what_was_not_recorded_at_all() -> None:
    """Every parameter is a gap, also one with a default: nobody knows that it was not given."""
    assert places(None) == ["login", "key", "table"]
    assert places(None, "login", "key", "table") == []
    with pytest.raises(ParameterError, match=r"Run 1 cannot .* login: it was not recorded; key:"):
        repeating.check("1", repeating.gaps(None, SCHEMA), hint="-")


def test_values_at_places() -> None:
    """Single members are replaced or made, the rest stays and the record is not changed."""
    before = {"login": {"name": "a", "older": ["x", "y"]}, "table": {"$type": "bytes"}}
    after = repeating.changed(
        before, {("login", "password"): "p", ("login", "older", 1): "z", ("table",): [1]}
    )
    assert after == {"login": {"name": "a", "older": ["x", "z"], "password": "p"}, "table": [1]}
    assert before["login"] == {"name": "a", "older": ["x", "y"]}
    with pytest.raises(ParameterError, match=r"no place 'login\.older\.7'"):
        repeating.changed(before, {("login", "older", 7): "z"})
    with pytest.raises(ParameterError, match=r"no place 'login\.name\.first'"):
        repeating.changed(before, {("login", "name", "first"): "z"})


def test_a_default_is_left_to_the_pipeline() -> None:
    """A value that is recorded as the default is written is not given; an equal number of another
    type was, as is one that is no default of this snapshot."""

    def limited(limit: float = 72, name: str | None = None, rate: float = 0.5) -> None: ...

    schema = parameter_model(limited).json_schema()
    given = repeating.as_given({"limit": 72, "name": None, "rate": 0.25}, schema)
    assert given == {"rate": 0.25}
    assert repeating.as_given({"limit": 72.0}, schema) == {"limit": 72.0}
