"""``python -m warmcell``."""

from __future__ import annotations

from warmcell.cli import main

raise SystemExit(main())
