"""Every case: the notebook's answer, the live answer after edits, a fresh process's answer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kernel.snapshots.cases import ALL
from tests.kernel.snapshots.cases.case import Case

ROOT = Path(__file__).parents[3]
each = pytest.mark.parametrize("case", ALL, ids=lambda c: c.name)


def _run(action: str, folder: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.kernel.snapshots.harness", action, str(folder)]
    keys = str(folder / "keys")
    environment = {**os.environ, "WARMCELL_KEY_DIR": keys}
    environment["PYTHONHASHSEED"] = "1" if action == "deploy" else "2"
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    results: dict[str, Any] = json.loads((folder / f"{action}.json").read_text())
    return results


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What every case gave in the notebook's process and then in a fresh one."""
    folder = tmp_path_factory.mktemp("cases")
    results = _run("deploy", folder)
    shutil.rmtree(folder / "modules")
    for name, fresh in _run("restore", folder).items():
        results[name].update(fresh)
    return results


def _of(case: Case, deployed: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = deployed[case.name]
    if "skipped" in found:
        pytest.skip(f"needs {found['skipped']}")
    assert "failed" not in found, found["failed"]
    return found


@each
def test_live_answer_outlives_edits(case: Case, deployed: dict[str, Any]) -> None:
    """After the notebook's edits the snapshot answers as the notebook did at the deploy; where it
    cannot, the object that stays live is named."""
    found = _of(case, deployed)
    assert found["edited"] != found["before"], "the edits of this case change nothing"
    assert found["notebook_again"] == found["before"], "the capture changed the notebook"
    if case.frozen:
        assert found["live"] == found["before"]
        assert found["live_after"] == found["before"]
    else:
        assert found["notes"] or found["drift"]


@each
def test_fresh_process_answers_the_same(case: Case, deployed: dict[str, Any]) -> None:
    """A process that has only the blobs gives the live answer, or the snapshot said before that it
    cannot be stored."""
    found = _of(case, deployed)
    if not case.stored:
        assert not found["restorable"]
        assert found["status"].startswith("refused: ")
    elif case.drifts:
        assert found["status"].startswith("changed before stored: ")
    else:
        assert found["restorable"]
        assert found["status"] == "stored"
        assert found["fresh"] == (found["live"] if case.fresh is None else case.fresh)


@each
def test_says_what_it_holds(case: Case, deployed: dict[str, Any]) -> None:
    """Notes name the code and the objects concerned and the way out, drift names exactly what
    changed in place, and a second capture has the same identity."""
    found = _of(case, deployed)
    for text in case.noted:
        assert text in "\n".join(found["notes"])
    if not case.noted:
        assert found["notes"] == []
    assert found["drift_before"] == []
    assert tuple(found["drift"]) == case.drifts
    assert found["same_digest"]
