"""What a command line gives: a client, parameters, settings."""

from __future__ import annotations

import json
import os
import sys
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from warmcell.client import Client
from warmcell.errors import UsageError
from warmcell.remote.discovery import discover
from warmcell.remote.texts import pairs, read

__all__ = ["client", "parameters", "raw_parameters", "settings"]


def client(given: Namespace) -> Client:
    """A client of the server that is named, or of the one that is found; also in a kernel's shell,
    whose link is not for its commands."""
    if given.url or given.key or os.environ.get("WARMCELL_URL") or os.environ.get("WARMCELL_KEY"):
        return Client(given.url, given.token, key=given.key)
    return Client.of(discover(given.token or os.environ.get("WARMCELL_TOKEN")))


def raw_parameters(given: Namespace) -> tuple[dict[str, Any], dict[str, str]]:
    """Parameters that were given as JSON, and those given as text."""
    texts = pairs(given.words)
    if given.parameters is None:
        return {}, texts
    text = given.parameters
    try:
        if text == "-":
            text = sys.stdin.read()
        elif text.startswith("@"):
            text = Path(text[1:]).read_text(encoding="utf-8")
        found = json.loads(text)
    except OSError as error:
        raise UsageError(f"{given.parameters[1:]} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"--parameters is no JSON: {error}.") from error
    if not isinstance(found, dict):
        raise UsageError('--parameters is a JSON object, such as \'{"city": "London"}\'.')
    return found, texts


def parameters(given: Namespace, schema: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """All parameters, those given as text read by ``schema``, which is asked for only then."""
    found, texts = raw_parameters(given)
    return {**found, **read(texts, schema())} if texts else found


def settings(words: Sequence[str], option: str = "--set") -> dict[str, Any]:
    """Read ``--set name=value``: values are JSON where they are any, else text; a dot leads into
    what is nested, as in ``cors.allow_origins=["*"]``."""
    found: dict[str, Any] = {}
    for word in words:
        path, equals, text = word.partition("=")
        if not equals or not path:
            raise UsageError(f"'{word}' is no setting.", hint=f"Write {option} name=value.")
        *outer, name = path.split(".")
        place = found
        for part in outer:
            place = place.setdefault(part, {})
            if not isinstance(place, dict):
                raise UsageError(f"Setting '{part}' is given as a value and as a group.")
        try:
            place[name] = json.loads(text)
        except ValueError:
            place[name] = text
    return found
