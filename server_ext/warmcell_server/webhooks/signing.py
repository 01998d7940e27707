"""Secrets that sign what is posted to callers: one per deployment, outside the database."""

from __future__ import annotations

import base64
import secrets
from datetime import datetime
from pathlib import Path

import msgspec
from standardwebhooks import Webhook

from warmcell.ids import now
from warmcell.secretfile import SecretFile

__all__ = ["Secret", "Signing"]

SECRET_BYTES = 32
OVERLAP = 24 * 3600 * 1_000_000  # microseconds that the secret before still signs after a rotation


class Secret(msgspec.Struct, omit_defaults=True):
    """What signs a deployment's deliveries, as ``whsec_…``. ``previous`` signs as well until
    ``previous_until``, so that receivers can change theirs one after the other."""

    current: str
    created_at: int
    previous: str | None = None
    previous_until: int | None = None

    def valid(self, moment: int) -> list[str]:
        """The secrets that sign at ``moment`` (microseconds), the current one first."""
        if self.previous is None or moment >= (self.previous_until or 0):
            return [self.current]
        return [self.current, self.previous]


class _Secrets(msgspec.Struct):
    """What ``secrets.json`` of a store's folder holds; by deployment."""

    webhooks: dict[str, Secret] = {}


class Signing:
    """The secrets of a store's deployments. Any thread may call; waits for the disk."""

    def __init__(self, home: Path) -> None:
        self._file = SecretFile(home / "secrets.json", _Secrets)

    def secret(self, deployment: str) -> Secret:
        """Return the deployment's secret, made when there is none.

        Raises :class:`StoreError` if the file cannot be used.
        """
        found = self._file.read().webhooks.get(deployment)
        if found is not None:
            return found

        def add(value: _Secrets) -> _Secrets:
            value.webhooks.setdefault(deployment, Secret(_new(), now()))
            return value

        return self._file.change(add).webhooks[deployment]

    def rotate(self, deployment: str) -> Secret:
        """Replace the deployment's secret; the one before signs as well for a day.

        Raises :class:`StoreError` if the file cannot be used.
        """

        def replace(value: _Secrets) -> _Secrets:
            before, moment = value.webhooks.get(deployment), now()
            made = Secret(_new(), moment)
            if before is not None:
                made.previous, made.previous_until = before.current, moment + OVERLAP
            value.webhooks[deployment] = made
            return value

        return self._file.change(replace).webhooks[deployment]

    def sign(self, deployment: str, message_id: str, moment: datetime, body: str) -> str:
        """Return the signatures of a message as the header ``webhook-signature`` has them.
        ``moment`` is UTC. Raises :class:`StoreError` if the file cannot be used."""
        valid = self.secret(deployment).valid(now())
        return " ".join(Webhook(one).sign(message_id, moment, body) for one in valid)


def _new() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
