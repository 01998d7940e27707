"""The part of the client that is about named secrets.

They are this user's own, in a file of the machine that this code runs on, whatever server the
client calls: no server hands out a secret, and none is sent to one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from warmcell import secrets
from warmcell.errors import Conflict, UsageError

__all__ = ["Secret", "SecretClient"]


class Secret:
    """A named secret. Its values are read when they are asked for, and masked from then on in all
    that this process keeps of runs; nothing else shows them."""

    private = True  # of this user alone

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def id(self) -> str:
        """The name: there is one secret of a name."""
        return self.name

    @property
    def updated(self) -> str:
        """When it was changed last (RFC 3339)."""
        return secrets.list_secrets()[self.name]

    @property
    def keys(self) -> list[str]:
        """The names of its values; of one with a single value, its own name."""
        return secrets.keys_of(self.name)

    @property
    def secret_values(self) -> dict[str, str]:
        """Its values by name."""
        return secrets.variables_of(self.name)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"<secret {self.name}>"


class SecretClient:
    """Named secrets. What is not there raises :class:`~warmcell.errors.NotFound`. ``private``, a
    word of ZenML's, changes nothing: every secret is its user's alone."""

    def create_secret(
        self, name: str, values: Mapping[str, str], private: bool | None = None
    ) -> Secret:
        """Keep a secret of several values. Raises :class:`Conflict` if there is one of the name,
        and :class:`UsageError` for a name or a value that does not fit."""
        if name in secrets.list_secrets():
            raise Conflict(
                f"There is a secret {name!r} already.",
                hint=f"Change it: Client().update_secret({name!r}, add_or_update_values={{...}})",
            )
        secrets.set_values(name, values)
        return Secret(name)

    def get_secret(self, name: str, private: bool | None = None) -> Secret:
        """The secret ``name``; what it holds is its ``secret_values``."""
        secrets.keys_of(name)
        return Secret(name)

    def list_secrets(
        self, name: str | None = None, private: bool | None = None
    ) -> Sequence[Secret]:
        """The secrets of this user, or that of a name, by name."""
        return [Secret(found) for found in secrets.list_secrets() if name in (None, found)]

    def update_secret(
        self,
        name: str,
        private: bool | None = None,
        *,
        new_name: str | None = None,
        add_or_update_values: Mapping[str, str] | None = None,
        remove_values: Sequence[str] | None = None,
        update_private: bool | None = None,
    ) -> Secret:
        """Change values of a secret, or its name. Raises :class:`UsageError` where none would be
        left, and :class:`Conflict` for a new name that is taken."""
        secrets.keys_of(name)
        if isinstance(remove_values, str):
            raise UsageError("`remove_values` takes a list of names.", hint="Write ['password'].")
        secrets.change_values(name, add_or_update_values or {}, remove_values or (), new_name)
        return Secret(new_name or name)

    def delete_secret(self, name: str, private: bool | None = None) -> None:
        """Forget a secret."""
        secrets.delete_secret(name)
