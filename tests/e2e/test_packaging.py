"""What is installed: one distribution, three packages, the extension enabled by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ENABLED = ".data/data/etc/jupyter/jupyter_server_config.d/warmcell_server.json"


@pytest.mark.parametrize("kind", ["wheel", "editable"])
def test_every_kind_of_installation_enables_the_extension(
    repository: Path, tmp_path: Path, kind: str
) -> None:
    """Both builds carry the file that makes a Jupyter server load the extension."""
    code = f"from hatchling.build import build_{kind}; build_{kind}({str(tmp_path)!r})"
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=repository,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    (built,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        (config,) = (name for name in archive.namelist() if name.endswith(ENABLED))
        assert json.loads(archive.read(config)) == {
            "ServerApp": {"jpserver_extensions": {"warmcell_server": True}}
        }
        names = set(archive.namelist())
    if kind == "wheel":
        for package in (
            "kernel_ext/warmcell", "server_ext/warmcell_server", "widgets/warmcell_widgets",
        ):  # fmt: skip
            folder = repository / package
            expected = {
                file.relative_to(folder.parent).as_posix()
                for file in folder.rglob("*")
                if file.is_file() and "__pycache__" not in file.parts
            }
            assert expected <= names, f"{sorted(expected - names)} is not in the wheel"


def test_versions_agree(repository: Path) -> None:
    """The version of the distribution is the one that the package tells, and has a changelog."""
    import warmcell

    project = tomllib.loads((repository / "pyproject.toml").read_text())["project"]
    assert warmcell.__version__ == project["version"]
    assert f"## {project['version']}" in (repository / "CHANGELOG.md").read_text()
