#!/usr/bin/env python3
"""The project's commands, for people and for CI alike. Needs only Python >= 3.11 and pip.

python3 dev.py quickstart   set everything up and open the quickstart in JupyterLab
python3 dev.py test         check, then every test; further arguments go to pytest
python3 dev.py check        types and lint; writes nothing
python3 dev.py lint         repair what lint can repair, and format
python3 dev.py install      set everything up in .venv
python3 dev.py bench        measure against FastAPI and Hamilton; further arguments go to the report
python3 dev.py soak         call everything at once for an hour (--minutes) and count what was kept
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent
TOOLS = ROOT / "build" / "uv"  # in no environment of the user's; git ignores build/
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def pip(*arguments: str, quiet: bool = False) -> str:
    """What ``pip`` answers; an empty string where it fails and ``quiet`` is set."""
    command = [sys.executable, "-m", "pip", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=None, text=True, check=not quiet)
    return done.stdout.strip() if done.returncode == 0 else ""


def find_uv() -> str:
    """The path of uv: the user's, else our own, installed by pip where nobody else sees it.

    ``pip install --target`` works too where the system's Python refuses installations (PEP 668).
    """
    found = shutil.which("uv") or shutil.which("uv", path=str(TOOLS / "bin"))
    if found is None:
        pip("install", "--quiet", "--root-user-action=ignore", "--target", str(TOOLS), "uv")
        found = shutil.which("uv", path=str(TOOLS / "bin"))
    if found is None:
        sys.exit("uv could not be installed; see https://docs.astral.sh/uv/ and try again")
    return found


def environment() -> dict[str, str]:
    """Hand pip's package index on to uv, which does not read pip's configuration."""
    variables = dict(os.environ)
    # Tests start hundreds of processes, each of which would compile all of Jupyter again.
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    if not {"UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_CONFIG_FILE"} & variables.keys():
        index = variables.get("PIP_INDEX_URL") or next(
            (
                line.partition("=")[2].strip("'\"")
                for line in pip("config", "list", quiet=True).splitlines()
                if line.startswith(("global.index-url=", "user.index-url=", "site.index-url="))
            ),
            None,
        )
        if index:
            variables["UV_DEFAULT_INDEX"] = index
    return variables


def uv(*arguments: str, check: bool = True) -> int:
    """Run uv in the repository and end this process with it where it fails."""
    status = subprocess.run([UV, *arguments], cwd=ROOT, env=ENVIRONMENT).returncode
    if status and check:
        sys.exit(status)
    return status


def install() -> None:
    uv("sync", "--quiet")


def check() -> None:
    uv("run", "ruff", "check")
    uv("run", "ruff", "format", "--check")
    uv("run", "mypy")


def lint() -> None:
    uv("run", "ruff", "check", "--fix")
    uv("run", "ruff", "format")


def test(arguments: Sequence[str]) -> None:
    check()
    if not any(map(shutil.which, BROWSERS)):
        # Without one the browser tests are skipped, so a failure here need not end the run.
        with_libraries = ["--with-deps"] if sys.platform == "linux" and os.geteuid() == 0 else []
        uv("run", "playwright", "install", "--only-shell", *with_libraries, "chromium", check=False)
    # Most of a test is waiting for kernels and servers: two at a time take little more than half.
    workers = str(min(4, os.cpu_count() or 1))
    at_once = ["-n", workers, "--dist", "loadfile", "--no-loadscope-reorder"]
    uv("run", "pytest", *(arguments or at_once))


def quickstart(arguments: Sequence[str]) -> None:
    # Jupyter refuses to run as root unless told so; in a container there is often nobody else.
    as_root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    uv("run", "jupyter", "lab", *as_root, *arguments, "notebooks/quickstart.ipynb")


def bench(arguments: Sequence[str]) -> None:
    uv("run", "--group", "bench", "python", "-m", "tests.benchmarks", *arguments)


def soak(arguments: Sequence[str]) -> None:
    uv("run", "--group", "bench", "python", "-m", "tests.benchmarks.soak", *arguments)


def main() -> None:
    match sys.argv[1:]:
        case ["install"]:
            install()
        case ["check"]:
            check()
        case ["lint"]:
            lint()
        case ["test", *rest]:
            test(rest)
        case ["quickstart", *rest]:
            quickstart(rest)
        case ["bench", *rest]:
            bench(rest)
        case ["soak", *rest]:
            soak(rest)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    UV = find_uv()
    ENVIRONMENT = environment()
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
