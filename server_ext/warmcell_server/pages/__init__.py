"""Pages for people: the playground of a deployment and its rendered document."""

from __future__ import annotations

from warmcell_server.pages.docs import docs, docs_policy
from warmcell_server.pages.playground import playground, playground_policy

__all__ = ["docs", "docs_policy", "playground", "playground_policy"]
