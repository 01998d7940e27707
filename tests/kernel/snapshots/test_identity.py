"""The digest of a snapshot: the same for the same thing, another for another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import json, sys
from tests.kernel.snapshots.harness import shell
from warmcell.snapshots import capture
ip = shell()
digests = {}
for name, cells in json.load(sys.stdin).items():
    for cell in cells:
        ip.run_cell(cell, store_history=False).raise_error()
    digests[name] = capture({"step": ip.user_ns["step"]}).digest
    ip.reset(new_session=False)
print(json.dumps(digests))
"""
BASE = """
import dataclasses, enum
TAGS = {"red", "green", "blue"}
LIMITS = {"low": 1.5, "high": [1, 2]}
class Color(enum.Enum):
    RED = 1
@dataclasses.dataclass
class Row:
    x: int = 3
    def get(self): return self.x in {"a", "b"}
def helper(x): return x * 2
def step(x): return helper(x), Row(x).get(), TAGS, LIMITS, Color.RED
"""
VARIANTS = {
    "base": [BASE],
    "run-twice": [BASE, BASE],
    "split-over-cells": [*BASE.replace("def helper", "---def helper").split("---")],
    "comments": [BASE.replace("def helper", "# a comment\n\n\ndef helper")],
    "docstring": [BASE.replace("return x * 2", "\n    'Twice.'\n    return x * 2")],
    "unrelated-name": [BASE, "unrelated = 5"],
    "constant": [BASE.replace("x * 2", "x * 3")],
    "operator": [BASE.replace("x * 2", "x + 2")],
    "global": [BASE.replace("1.5", "1.25")],
    "nested": [BASE.replace("[1, 2]", "[1, 3]")],
    "first-text": [BASE.replace("return x * 2", "return ['a' + str(i) for i in range(x)]")],
    "other-first-text": [BASE.replace("return x * 2", "return ['b' + str(i) for i in range(x)]")],
    "set": [BASE.replace('"blue"', '"black"')],
    "type": [BASE.replace('"low": 1.5', '"low": "1.5"')],
    "default": [BASE.replace("x: int = 3", "x: int = 4")],
    "method": [BASE.replace('{"a", "b"}', '{"a", "c"}')],
    "member": [BASE.replace("RED = 1", "RED = 2")],
    "annotation": [BASE.replace("def step(x)", "def step(x: int)")],
}
SAME = ["run-twice", "split-over-cells", "comments", "docstring", "unrelated-name"]


def _digests(seed: str, folder: Path) -> dict[str, str]:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "WARMCELL_KEY_DIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).parents[3],
        env=environment,
        input=json.dumps(VARIANTS),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def digests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The digest of every variant, in one kernel."""
    return _digests("1", tmp_path_factory.mktemp("keys"))


def test_other_kernel_and_hash_seed(digests: dict[str, str], tmp_path: Path) -> None:
    """Another process with another hash seed gives the same digests."""
    assert _digests("2", tmp_path) == digests


@pytest.mark.parametrize("variant", SAME)
def test_what_does_not_matter(digests: dict[str, str], variant: str) -> None:
    """A re-run, other cells, comments and docstrings do not change the identity."""
    assert digests[variant] == digests["base"]


@pytest.mark.parametrize("variant", sorted(set(VARIANTS) - set(SAME) - {"base"}))
def test_what_matters(digests: dict[str, str], variant: str) -> None:
    """Any change of code or values is another snapshot, and no two of them are the same."""
    assert [name for name, d in digests.items() if d == digests[variant]] == [variant]
