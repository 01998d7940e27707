"""What loading a registered file or folder gives, by ZenML's name."""

from __future__ import annotations

from pathlib import Path

__all__ = ["PreexistingArtifactPath"]

PreexistingArtifactPath = Path
