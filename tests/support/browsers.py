"""The Chromium that the browser tests drive."""

from __future__ import annotations

import os
import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
REQUIRED = "WARMCELL_REQUIRE_BROWSER"


def chromium() -> str | None:
    """The path of an installed Chromium, or None where only Playwright's own may exist."""
    return next(filter(None, map(shutil.which, NAMES)), None)


def required() -> bool:
    """Whether a machine without a browser fails the tests instead of skipping them."""
    return os.environ.get(REQUIRED, "") not in ("", "0")
