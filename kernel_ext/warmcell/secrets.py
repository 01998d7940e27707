"""Named secrets: what steps need and no run may show, such as a password of a database.

They are in a file of this user alone (``secrets.json``, mode 0600) in Jupyter's data folder, beside
the key that signs snapshots; never in a store. What was read with :func:`get_secret` is masked in
all that this process keeps of runs and shows of their output::

    from warmcell import get_secret

    @step
    def customers() -> pd.DataFrame:
        return query(password=get_secret("warehouse"))

Read it inside the step, or in ``on_init``: a variable of the notebook that holds it would become
part of the snapshot. ``@step(secrets=["warehouse"])`` has its values in the environment instead,
while the step runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from warmcell.errors import Conflict, NotFound, StoreError, UsageError
from warmcell.ids import now, rfc3339
from warmcell.options import close_match
from warmcell.redaction import LEAST, forms_of, remember
from warmcell.secretfile import SecretFile
from warmcell.snapshots.trust import key_file

if TYPE_CHECKING:
    from warmcell.pipelines import Pipeline

__all__ = [
    "change_values", "check", "delete_secret", "get_secret", "keys_of", "list_secrets",
    "secrets_file", "set_secret", "set_values", "stands_in", "texts_by_use", "variables_of",
]  # fmt: skip

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class _Kept(msgspec.Struct, omit_defaults=True):
    """One secret: a single ``value``, or several ``values`` by name."""

    updated_at: str
    value: str | None = None
    values: dict[str, str] | None = None

    def named(self, name: str) -> dict[str, str]:
        """The values by name; a single one has the name of the secret."""
        if self.values is not None:
            return dict(self.values)
        return {} if self.value is None else {name: self.value}


_Secrets = dict[str, _Kept]
_files: dict[Path, SecretFile[_Secrets]] = {}
_sought: tuple[_Secrets, tuple[bytes, ...]] = ({}, ())


def secrets_file() -> Path:
    """Where this user's secrets are: beside the key of :mod:`warmcell.snapshots.trust`."""
    return key_file().with_name("secrets.json")


def get_secret(name: str, key: str | None = None) -> str:
    """Return a secret; ``key`` says which value of one that has several. Raises
    :class:`~warmcell.errors.NotFound` for one that there is not."""
    values = _found(name).named(name)
    if key is None:
        if len(values) > 1:
            raise UsageError(
                f"The secret {name!r} has several values: {', '.join(values)}.",
                hint=f"Say which: get_secret({name!r}, {next(iter(values))!r})",
            )
        key = next(iter(values))
    if key not in values:
        near = close_match(str(key), values)
        raise NotFound(
            f"The secret {name!r} has no value {key!r}.", hint=near or f"It has {', '.join(values)}"
        )
    remember(values[key])
    return values[key]


def variables_of(name: str) -> dict[str, str]:
    """All values of a secret by name, as a step has them in its environment; a single one has the
    name of the secret. Raises as :func:`get_secret` does."""
    values = _found(name).named(name)
    for value in values.values():
        remember(value)
    return values


def keys_of(name: str) -> list[str]:
    """The names of the values of a secret, without reading them."""
    return list(_found(name).named(name))


def texts_by_use() -> dict[str, str]:
    """The values of all secrets, each with how it is read, for looking whether one is where it must
    not be. Empty where the file cannot be read: nothing else may fail because of it."""
    try:
        secrets = _file().read()
    except (StoreError, OSError):
        return {}
    found = {}
    for name, kept in secrets.items():
        values = kept.named(name)
        for key, value in values.items():
            more = f", {key!r}" if len(values) > 1 else ""
            found[value] = f"get_secret({name!r}{more})"
    return found


def stands_in(data: bytes) -> bool:
    """Whether the value of a secret of this user is written in ``data``, in any of its forms; also
    of one that nobody has read yet. Cheap enough for every call: the file is read when it is
    another one. A file that cannot be read counts as one without secrets."""
    global _sought
    try:
        secrets = _file().read()
    except (StoreError, OSError):
        return False
    if not secrets:
        return False
    known, needles = _sought
    if known is not secrets:
        texts = [value for name, kept in secrets.items() for value in kept.named(name).values()]
        needles = tuple({form.encode("utf-8", "surrogatepass") for form in forms_of(texts)})
        _sought = secrets, needles
    return any(needle in data for needle in needles)


def set_secret(name: str, value: str) -> None:
    """Keep a secret, or another value for one. Raises :class:`UsageError` for a name or a value
    that does not fit: what has fewer than four characters could not be masked."""
    _check_name(name)
    _check_value(f"The secret {name!r}", value)
    _change(name, _Kept(rfc3339(now()), value))


def set_values(name: str, values: Mapping[str, str]) -> None:
    """Keep a secret of several values by name. Raises as :func:`set_secret` does."""
    _check_name(name)
    _check_values(name, values)
    _change(name, _Kept(rfc3339(now()), values=dict(values)))


def change_values(
    name: str, put: Mapping[str, str], drop: Iterable[str] = (), new_name: str | None = None
) -> None:
    """Put and drop values of a secret, and call it otherwise, at once. Raises
    :class:`~warmcell.errors.NotFound`, :class:`UsageError` where no value would be left, and
    :class:`Conflict` for a new name that is taken."""
    called = new_name or name
    _check_name(called)
    dropped = tuple(drop)

    def change(found: _Secrets) -> _Secrets:
        kept = found.get(name) or _found(name)
        if called != name and called in found:
            raise Conflict(f"There is a secret {called!r} already.", hint="Delete it, or rename.")
        single = kept.values is None and not dropped and put.keys() <= {name}
        values = kept.named(name) | dict(put)
        for key in dropped:
            if values.pop(key, None) is None:
                raise NotFound(f"The secret {name!r} has no value {key!r}.")
        _check_values(name, values)
        for value in values.values():
            remember(value)
        del found[name]
        moment = rfc3339(now())
        found[called] = _Kept(moment, values[name]) if single else _Kept(moment, values=values)
        return found

    _file().change(change)


def delete_secret(name: str) -> None:
    """Forget a secret. Raises :class:`~warmcell.errors.NotFound` for one that there is not."""
    if name not in _file().read():
        raise NotFound(f"There is no secret {name!r}.", hint="See: warmcell secrets list")

    def drop(found: _Secrets) -> _Secrets:
        found.pop(name, None)
        return found

    _file().change(drop)


def list_secrets() -> dict[str, str]:
    """The names of the secrets, each with the time of its last change (RFC 3339); never values."""
    return {name: kept.updated_at for name, kept in sorted(_file().read().items())}


def check(pipeline: Pipeline) -> None:
    """Raise :class:`~warmcell.errors.NotFound` if the pipeline or one of its steps needs a secret
    that there is not: before it runs or is served, not in the middle of it."""
    steps = pipeline.steps
    owners = [(f"Pipeline `{pipeline.name}`", pipeline.options.secrets)]
    owners += [(f"Step `{step.name}`", step.options.secrets) for step in steps]
    for owner, names in owners:
        for name in names:
            if name not in (found := _file().read()):
                raise NotFound(
                    f"{owner} needs the secret {name!r}, which there is not.",
                    hint=close_match(name, found) or f"Set it: warmcell secrets set {name}",
                )


def _found(name: str) -> _Kept:
    found = _file().read()
    if name not in found:
        near = close_match(str(name), found)
        raise NotFound(
            f"There is no secret {name!r}.", hint=near or f"Set it: warmcell secrets set {name}"
        )
    return found[name]


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} is no name of a secret.",
            hint="It has letters, digits and . _ - and begins with a letter or a digit.",
        )


def _check_value(owner: str, value: Any) -> None:
    if not isinstance(value, str) or "\0" in value:
        raise UsageError(f"{owner} is no text.", hint="Keep it as text, json.dumps(...) say.")
    if len(value.strip()) < LEAST:
        raise UsageError(
            f"{owner} has fewer than {LEAST} characters.",
            hint="So short a value cannot be masked in what runs write; one that everybody may "
            "know is no secret: keep it in a variable.",
        )


def _check_values(name: str, values: Any) -> None:
    if not isinstance(values, Mapping) or not values:
        raise UsageError(
            f"The secret {name!r} has no values.", hint='Write values={"password": "..."}.'
        )
    for key, value in values.items():
        if not isinstance(key, str) or not _NAME.fullmatch(key.lstrip("_") or "-"):
            raise UsageError(
                f"{key!r} cannot name a value of the secret {name!r}.",
                hint="It has letters, digits and . _ -",
            )
        _check_value(f"The value {key!r} of the secret {name!r}", value)


def _change(name: str, kept: _Kept) -> None:
    path = secrets_file()
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)

    def put(found: _Secrets) -> _Secrets:
        found[name] = kept
        return found

    for value in kept.named(name).values():
        remember(value)
    _file().change(put)


def _file() -> SecretFile[_Secrets]:
    path = secrets_file()
    found = _files.get(path)
    if found is None:
        found = _files[path] = SecretFile(path, _Secrets)
    if os.path.lexists(path) and os.stat(path).st_mode & 0o077:
        os.chmod(path, 0o600)  # a copy or a restore made it readable for others
    return found
