"""Values as short text."""

from __future__ import annotations

import pytest

from warmcell_widgets import formatting as fmt


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 µs"),
        (0.0000123, "12 µs"),
        (0.00123, "1.23 ms"),
        (0.12, "120 ms"),
        (0.9949, "995 ms"),
        (1.0, "1 s"),
        (12.34, "12.3 s"),
        (59.96, "60 s"),
        (61, "1 min 01 s"),
        (3599.7, "1 h 00 min"),
        (7325, "2 h 02 min"),
        (-0.5, "0 µs"),
        (None, ""),
        (float("nan"), ""),
        (True, ""),
        ("3", ""),
    ],
)
def test_duration(seconds: object, text: str) -> None:
    """Three significant figures and a unit; nothing where there is no number."""
    assert fmt.duration(seconds) == text


def test_moment_reads_both_forms() -> None:
    """RFC 3339 and microseconds since the epoch are the same time; nonsense is none."""
    assert fmt.moment("1970-01-01T00:00:01.5Z") == fmt.moment(1_500_000)
    assert fmt.between("2026-11-21T02:00:00Z", "2026-11-21T02:00:00.000012Z") == pytest.approx(
        12e-6
    )
    assert fmt.clock("2026-11-21T03:00:00+01:00") == "2026-11-21 02:00:00 UTC"
    assert fmt.moment("soon") is None
    assert fmt.clock(None) == ""


def test_long_values_are_cut_and_say_so() -> None:
    """A huge value costs no more than what is shown of it."""
    shown = fmt.long({"rows": list(range(10_000_000))}, 500)
    assert len(shown) < 530
    assert shown.endswith("(cut here)")
    assert fmt.short("x" * 1_000_000, 20) == "x" * 19 + "…"


def test_texts_are_shown_as_they_are() -> None:
    """A text keeps its line breaks where there is room, and is one line where there is none."""
    assert fmt.long("two\nlines") == "two\nlines"
    assert fmt.short("two\nlines") == '"two\\nlines"'
    assert fmt.pairs({"name": "Ada", "n": 1}) == "name: Ada, n: 1"
    assert fmt.plain("\x1b[31mred\x1b[0m") == "red"


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (2_000_000_000, "2 GB"), (None, ""), ("", "")],
)
def test_size(count: object, text: str) -> None:
    """Bytes in powers of a thousand."""
    assert fmt.size(count) == text
