"""Tags, and putting them on things."""

from __future__ import annotations

from warmcell.tagging import add_tags, remove_tags
from warmcell.tags import Tag

__all__ = ["Tag", "add_tags", "remove_tags"]
