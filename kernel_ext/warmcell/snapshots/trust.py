"""Signatures of stored snapshots: restoring one runs its code, so only one's own are loaded.

The key belongs to the user, outside the store, as with notebook trust: a store that came with a
folder from elsewhere carries no valid signature here.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Collection, Iterable
from pathlib import Path

from warmcell.errors import NotTrusted, SnapshotError

KEY_BYTES = 32
KEY_FOLDER = "WARMCELL_KEY_DIR"


def key_file() -> Path:
    """Where this user's key is: in ``$WARMCELL_KEY_DIR``, else in Jupyter's data folder."""
    folder = os.environ.get(KEY_FOLDER)
    if folder:
        return Path(folder) / "snapshot.key"
    from jupyter_core.paths import jupyter_data_dir

    return Path(jupyter_data_dir()) / "warmcell" / "snapshot.key"


def key() -> bytes:
    """This user's key, made when there is none. Raises :class:`SnapshotError`."""
    path = key_file()
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _unreadable(error) from error
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        made = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
        try:
            os.link(made, path)  # unlike a rename it never replaces another process's key
        except FileExistsError:
            pass
        finally:
            made.unlink(missing_ok=True)
        return _read(path)
    except OSError as error:
        raise SnapshotError(
            f"The key file {path} cannot be made: {error.strerror}.",
            hint=f"Set {KEY_FOLDER} to a folder that you can write.",
        ) from error


def _read(path: Path) -> bytes:
    data = path.read_bytes()
    if len(data) != KEY_BYTES:
        raise SnapshotError(f"The key file {path} is damaged.", hint="Delete it and deploy again.")
    if os.name == "posix" and path.stat().st_mode & 0o077:
        path.chmod(0o600)
    return data


def sign(statement: bytes) -> str:
    """The signature of ``statement`` under this user's key, in hexadecimal."""
    return hmac.new(key(), statement, hashlib.sha256).hexdigest()


def signed(statement: bytes, signatures: Iterable[str]) -> bool:
    """Whether one of ``signatures`` is this user's for ``statement``. Who has no key yet has signed
    nothing. Raises :class:`SnapshotError` for a key that cannot be read."""
    try:
        mine = hmac.new(_read(key_file()), statement, hashlib.sha256).hexdigest().encode()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unreadable(error) from error
    # Compared as bytes: a foreign manifest may have anything for a signature.
    return any(hmac.compare_digest(mine, one.encode("utf-8", "replace")) for one in signatures)


def verify(statement: bytes, signatures: Collection[str]) -> None:
    """Raise :class:`NotTrusted` unless one of ``signatures`` is this user's for ``statement``."""
    if signed(statement, signatures):
        return
    what = "was signed by somebody else, or changed since," if signatures else "is not signed"
    raise NotTrusted(
        f"This stored snapshot {what} and is not loaded: restoring it would run its code.",
        hint="`warmcell trust` lists what is foreign in a store and signs what you trust; or "
        "deploy the pipeline again from its notebook.",
    )


def _unreadable(error: OSError) -> SnapshotError:
    return SnapshotError(f"The key file {key_file()} cannot be read: {error.strerror}.")
