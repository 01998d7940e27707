"""Webhooks: how a run ended, told to its ``callback_url``: signed, checked, again and again."""

from __future__ import annotations

from warmcell_server.webhooks.deliveries import Webhooks

__all__ = ["Webhooks"]
