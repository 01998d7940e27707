"""Stores in a temporary folder, in this process and in others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.store.builders import StoreProcess
from warmcell.ids import new_id
from warmcell_server.store import Store


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder for a store, not made yet."""
    return tmp_path / ".warmcell"


@pytest.fixture
def open_store(home: Path) -> Iterator[Callable[..., Store]]:
    """Open a store in ``home``; all end with the test, the first opened last."""
    opened: list[Store] = []

    def open_(**options: Any) -> Store:
        options = {"host_id": new_id(), "label": "a test"} | options
        store = Store.open(home, **options)
        opened.append(store)
        return store

    yield open_
    for store in reversed(opened):
        store.close()


@pytest.fixture
def store(open_store: Callable[..., Store]) -> Store:
    """A store that this process owns."""
    return open_store()


@pytest.fixture
def start_process(home: Path) -> Iterator[Callable[..., StoreProcess]]:
    """Open the store of ``home`` in a process of its own."""
    started: list[StoreProcess] = []

    def start(**options: Any) -> StoreProcess:
        options = {"host_id": new_id()} | options
        process = StoreProcess(home, **options)
        started.append(process)
        return process

    yield start
    for process in started:
        process.close()
