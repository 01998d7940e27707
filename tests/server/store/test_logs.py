"""Searching what runs wrote."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.server.store.builders import entry, run
from warmcell.errors import QueryError
from warmcell.records import LogRecord, RunDetail
from warmcell_server.store import Store

LINES = [
    (1, "stdout", "Loading the model\n", "load", None, "a"),
    (2, "log", "WARNING disk is nearly full\n", "load", "WARNING", "a"),
    (3, "stdout", "scored 17 rows in 3.5 s\n", "score", None, "b"),
    (3, "stderr", "100 % of model done\n", "score", None, "b"),
]


@pytest.fixture
def written(store: Store) -> Callable[..., list[str]]:
    """A store in which two runs wrote LINES; searches it and returns the texts."""
    for run_id, pipeline, deployment in (("a", "train", None), ("b", "churn", "live")):
        logs = [
            LogRecord(time, stream, text, step, level)
            for time, stream, text, step, level, of in LINES
            if of == run_id
        ]
        record = run(run_id=run_id, pipeline=pipeline, deployment=deployment)
        store.append(entry(record, RunDetail(logs=logs)))

    def search(**request: Any) -> list[str]:
        found = store.read("search_logs", **request).result(20)
        return [log["text"].strip() for log in found["logs"]]

    return search


@pytest.mark.parametrize(
    ("request_", "found"),
    [
        ({}, [3, 2, 1, 0]),
        ({"text": "MODEL"}, [3, 0]),
        ({"text": "0 %"}, [3]),  # nothing in it is special
        ({"text": r"\d+ rows in [\d.]+ s", "regex": True}, [2]),
        ({"text": "model", "step": "load"}, [0]),
        ({"deployment": "live"}, [3, 2]),
        ({"pipeline": "train"}, [1, 0]),
        ({"run_id": "a", "level": "warning,error"}, [1]),
        ({"stream": "stderr"}, [3]),
        ({"since": 2, "until": 3}, [1]),
        ({"text": "nothing of this"}, []),
    ],
)
def test_what_is_found(
    written: Callable[..., list[str]], request_: dict[str, Any], found: list[int]
) -> None:
    """By text whatever its case, by an expression, by whose it is; the newest first."""
    assert written(**request_) == [LINES[index][2].strip() for index in found]


def test_pages_have_each_piece_once(store: Store, written: Callable[..., list[str]]) -> None:
    """Also where pieces were written in the same moment."""
    seen: list[str] = []
    before = None
    while True:
        page = store.read("search_logs", limit=1, before=before).result(20)
        seen += [log["text"].strip() for log in page["logs"]]
        if (before := page["next"]) is None:
            break
    assert seen == written()


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"text": "(", "regex": True}, "no regular expression"),
        ({"before": "yesterday"}, "no cursor"),
        ({"limit": 0}, "limit must be"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_makes_no_sense_is_refused(
    written: Callable[..., list[str]], request_: dict[str, Any], told: str
) -> None:
    """By name, and the store goes on."""
    with pytest.raises(QueryError, match=told):
        written(**request_)
    assert len(written()) == len(LINES)
