"""Which package may load which: checked in a fresh process each."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("pandas", "numpy", "duckdb", "sklearn", "matplotlib", "jupyter_server", "ipywidgets")


@pytest.mark.parametrize(
    ("imported", "forbidden"),
    [
        ("warmcell", ("IPython", "warmcell_server", "warmcell_widgets", "pydantic", *HEAVY)),
        ("warmcell.wire", ("IPython", "warmcell_server", "warmcell_widgets", *HEAVY)),
        ("warmcell.errors", ("IPython", "warmcell_server", "warmcell_widgets", *HEAVY)),
        ("warmcell.graph", ("IPython", "warmcell_server", "warmcell_widgets", *HEAVY)),
        ("warmcell.steps, warmcell.pipelines", ("warmcell_server", "warmcell_widgets", *HEAVY)),
        ("warmcell_server", ("IPython", "warmcell_widgets", "tornado", *HEAVY)),
        ("warmcell_server.host", ("IPython", "warmcell_widgets", "pandas", "ipywidgets")),
    ],
)
def test_importing_loads_no_stranger(imported: str, forbidden: tuple[str, ...]) -> None:
    """Importing one module loads none of those that belong to another process or cost seconds."""
    code = f"import {imported}, sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert sorted(set(forbidden) & set(done.stdout.split())) == []
