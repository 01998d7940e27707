"""Named secrets: what steps need and no run may show, such as a password of a database.

They are in a file of this user alone (``secrets.json``, mode 0600) in Jupyter's data folder, beside
the key that signs snapshots; never in a store. What was read with :func:`get_secret` is masked in
all that this process keeps of runs and shows of their output::

    from warmcell import get_secret

    @step
    def customers() -> pd.DataFrame:
        return query(password=get_secret("warehouse"))

Read it inside the step, or in ``on_init``: a variable of the notebook that holds it would become
part of the snapshot.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from warmcell.errors import NotFound, UsageError
from warmcell.ids import now, rfc3339
from warmcell.options import close_match
from warmcell.redaction import LEAST, remember
from warmcell.secretfile import SecretFile
from warmcell.snapshots.trust import key_file

__all__ = ["delete_secret", "get_secret", "list_secrets", "secrets_file", "set_secret"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_files: dict[Path, SecretFile[dict[str, dict[str, str]]]] = {}


def secrets_file() -> Path:
    """Where this user's secrets are: beside the key of :mod:`warmcell.snapshots.trust`."""
    return key_file().with_name("secrets.json")


def get_secret(name: str) -> str:
    """Return a secret. Raises :class:`~warmcell.errors.NotFound` for one that there is not."""
    found = _file().read()
    if name not in found:
        near = close_match(str(name), found)
        raise NotFound(
            f"There is no secret {name!r}.", hint=near or f"Set it: warmcell secrets set {name}"
        )
    value = found[name]["value"]
    remember(value)
    return value


def set_secret(name: str, value: str) -> None:
    """Keep a secret, or another value for one. Raises :class:`UsageError` for a name or a value
    that does not fit: what has fewer than four characters could not be masked."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name of a secret.",
            hint="It has letters, digits and . _ - and begins with a letter or a digit.",
        )
    if len(value.strip()) < LEAST:
        raise UsageError(
            f"The secret {name!r} has fewer than {LEAST} characters.",
            hint="So short a value cannot be masked in what runs write.",
        )
    remember(value)
    path = secrets_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(found: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        found[name] = {"value": value, "updated_at": rfc3339(now())}
        return found

    _file().change(put)


def delete_secret(name: str) -> None:
    """Forget a secret. Raises :class:`~warmcell.errors.NotFound` for one that there is not."""
    if name not in _file().read():
        raise NotFound(f"There is no secret {name!r}.", hint="See: warmcell secrets list")

    def drop(found: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        found.pop(name, None)
        return found

    _file().change(drop)


def list_secrets() -> dict[str, str]:
    """The names of the secrets, each with the time of its last change (RFC 3339); never values."""
    return {name: kept["updated_at"] for name, kept in sorted(_file().read().items())}


def _file() -> SecretFile[dict[str, dict[str, str]]]:
    path = secrets_file()
    found = _files.get(path)
    if found is None:
        found = _files[path] = SecretFile(path, dict[str, dict[str, str]])
    if os.path.lexists(path) and os.stat(path).st_mode & 0o077:
        os.chmod(path, 0o600)  # a copy or a restore made it readable for others
    return found
