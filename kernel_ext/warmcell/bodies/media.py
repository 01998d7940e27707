"""Media types: which ones a call can bring and get, and which one a caller prefers.

Shared with the host, which refuses and chooses by name; what is in them is for the worker.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from email.message import Message
from functools import lru_cache
from typing import NamedTuple

__all__ = [
    "ARROW",
    "CSV",
    "JSON",
    "KNOWN",
    "MULTIPART",
    "NPY",
    "OCTETS",
    "PNG",
    "TEXT",
    "MediaType",
    "best",
    "is_json",
    "is_known",
    "parse",
]

JSON = "application/json"
CSV = "text/csv"
ARROW = "application/vnd.apache.arrow.stream"
NPY = "application/x-npy"
OCTETS = "application/octet-stream"
MULTIPART = "multipart/form-data"
PNG = "image/png"
TEXT = "text/plain"

KNOWN = (
    JSON,
    CSV,
    ARROW,
    NPY,
    OCTETS,
    MULTIPART,
    PNG,
    "image/jpeg",
    "image/gif",
    "image/webp",
    "image/bmp",
    "image/tiff",
)
"""What a body can be."""


class MediaType(NamedTuple):
    """A media type in lower case, and its parameters."""

    name: str
    parameters: dict[str, str]


def parse(value: str) -> MediaType:
    """Read the value of a Content-Type header; a broken one has a name that nobody knows."""
    message = Message()
    message["Content-Type"] = value.replace("\r", " ").replace("\n", " ")
    name = value.partition(";")[0].strip().lower()
    found = message.get_params() or []
    return MediaType(name, {key.lower(): str(text) for key, text in found[1:]})


@lru_cache(64)
def is_json(value: str) -> bool:
    """Whether a Content-Type says JSON in UTF-8."""
    name, parameters = parse(value)
    json = name == JSON or (name.startswith("application/") and name.endswith("+json"))
    return json and parameters.get("charset", "utf-8").lower() in ("", "utf-8", "utf8")


def is_known(value: str) -> bool:
    """Whether a Content-Type is one that the worker reads, beside JSON."""
    return parse(value).name in KNOWN[1:]


def best(accept: str, offers: Sequence[str]) -> str | None:
    """Return the offer that an Accept header likes best (RFC 9110), None if it takes none.

    Of equals the first offer counts. A header that cannot be read takes anything.
    """
    ranges = _ranges(accept)
    if not ranges:
        return offers[0] if offers else None
    rated = [(_quality(ranges, parse(offer)), -place) for place, offer in enumerate(offers)]
    quality, place = max(rated, default=(0.0, 0))
    return offers[-place] if quality > 0 else None


class _Range(NamedTuple):
    kind: str
    subtype: str
    parameters: dict[str, str]
    quality: float


@lru_cache(64)
def _ranges(accept: str) -> tuple[_Range, ...]:
    found = []
    for part in accept.split(","):
        name, parameters = parse(part)
        kind, slash, subtype = name.partition("/")
        if not slash or not kind or not subtype:
            continue
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 0.0
        found.append(_Range(kind, subtype, parameters, min(max(quality, 0.0), 1.0)))
    return tuple(found)


def _quality(ranges: Iterable[_Range], offer: MediaType) -> float:
    """The quality that the most special range that fits gives to an offer."""
    kind, _, subtype = offer.name.partition("/")
    best_fit = (-1, 0.0)
    for wanted in ranges:
        if (wanted.kind, wanted.subtype) == (kind, subtype):
            fit = 2
        elif wanted.kind == kind and wanted.subtype == "*":
            fit = 1
        elif wanted.kind == wanted.subtype == "*":
            fit = 0
        else:
            continue
        if fit > best_fit[0]:
            best_fit = (fit, wanted.quality)
    return best_fit[1]
