"""Redaction: what must not be kept is masked before it leaves the kernel.

Masked are the values of named secrets that this process has read (:mod:`warmcell.secrets`), values
of pydantic's ``Secret`` types among the arguments of a run, and whatever stands under a key that
fits a pattern of the pipeline or deployment, such as ``*password*``. Callers still get what a
pipeline returns; parameters, outputs, logs and errors of the history do not have it.
"""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import html
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import is_dataclass
from itertools import islice
from typing import Any, Final
from urllib.parse import quote, quote_plus

import msgspec
import pydantic

from warmcell.errors import UsageError
from warmcell.records import ArtifactRecord, ErrorInfo

__all__ = [
    "LEAST", "MASK", "NONE", "Redaction", "forms_of", "hide", "patterns_of", "remember", "revealed",
]  # fmt: skip

MASK: Final = "**redacted**"  # not what pydantic writes for a secret: nobody gives this as a value
LEAST = 4  # characters: masking what is shorter would mask half of every text
_MASKED = msgspec.Raw(b'"' + MASK.encode() + b'"')
_DEPTH = 20
_DEEPEST = 100
_MANY = 1000  # parts of a value that are looked at for secrets
_SECRETS = (pydantic.SecretStr, pydantic.SecretBytes, pydantic.Secret)
_ATOMS = frozenset({str, int, float, bool, bytes, type(None)})
_PARTS: Final = {"*": r"[\w.-]*", "?": r"[\w.-]"}  # of a pattern, within a text

_known: dict[str, None] = {}  # values that were revealed in this process
_pattern: re.Pattern[str] | None = None  # of all of them
_lock = threading.Lock()


def remember(value: str) -> None:
    """Mask ``value`` from now on, in all that this process keeps; and each line of it, if it has
    several, as a key file does."""
    global _pattern
    with _lock:
        new = dict.fromkeys(_forms(value))
        if not new.keys() <= _known.keys():
            _known.update(new)
            _pattern = _any_of(_known)


def revealed() -> tuple[str, ...]:
    """The values that are masked in this process, in all forms in which they may be written."""
    return tuple(_known)


def forms_of(values: Iterable[str]) -> set[str]:
    """All forms in which ``values`` may be written."""
    return {form for value in values for form in _forms(value)}


def hide(text: str) -> str:
    """``text`` without the secrets that were revealed in this process."""
    return text if _pattern is None else _pattern.sub(MASK, text)


def _forms(value: str) -> Iterator[str]:
    """How a value may be written: as it is, line by line, and within JSON, a ``repr``, HTML or an
    address."""
    for text in (value, *value.splitlines()):
        if len(text) >= LEAST:
            yield text
            yield json.dumps(text, ensure_ascii=False)[1:-1]
            yield json.dumps(text)[1:-1]
            yield repr(text)[1:-1]
            yield html.escape(text, quote=False)
            yield html.escape(text)
            with contextlib.suppress(UnicodeEncodeError):  # half a character
                yield from (quote(text), quote(text, safe=""), quote_plus(text))


def _any_of(values: Iterable[str]) -> re.Pattern[str] | None:
    longest = sorted(values, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest))) if longest else None


def patterns_of(given: Any) -> tuple[str, ...]:
    """The patterns of a setting ``redact``, one text or several. Raises :class:`UsageError`."""
    found = (given,) if isinstance(given, str) else given
    if not isinstance(found, list | tuple | set | frozenset):
        found = (None,)
    for pattern in found:
        if not isinstance(pattern, str) or not pattern.strip("*? "):
            raise UsageError(
                f"'redact' takes names or patterns of names, not {pattern if found else given!r}.",
                hint='Write for example redact=["*password*", "api_key"].',
            )
    return tuple(found)


_Fits = Callable[[str], object]


@functools.lru_cache(maxsize=256)
def _compiled(patterns: tuple[str, ...]) -> tuple[_Fits | None, re.Pattern[str] | None]:
    """What says whether a name fits, and the pattern of names and their values in a text."""
    if not patterns:
        return None, None
    names = "|".join(fnmatch.translate(pattern) for pattern in patterns)
    written = "|".join(
        "".join(_PARTS.get(letter) or re.escape(letter) for letter in pattern)
        for pattern in patterns
    )
    value = r"""(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[^\s,;'")}\]]+)"""
    text = rf"""(?P<before>(?<![\w.-])(?:{written})["']?\s*[=:]\s*){value}"""
    fits = functools.lru_cache(maxsize=4096)(re.compile(names, re.IGNORECASE).match)
    return fits, re.compile(text, re.IGNORECASE)


_WORD = re.compile(r"[\w-]+(?:\.[\w-]+)*")
_SHOWN = re.compile(rf"""["']?\s*[=:]\s*["']?{re.escape(MASK)}""")


class Redaction:
    """What of one run is masked. ``patterns`` are compared with names of parameters, outputs and
    metadata and with keys at any depth, also by their path (``customer.password``); upper and
    lower case are the same. ``values`` are masked wherever they are written."""

    __slots__ = ("_fits", "_in_text", "_values", "patterns")

    def __init__(self, patterns: Iterable[str] = (), values: Iterable[str] = ()) -> None:
        self.patterns = tuple(patterns)
        self._fits, self._in_text = _compiled(self.patterns)
        self._values = _any_of(forms_of(values))

    @property
    def active(self) -> bool:
        """Whether there is anything to mask."""
        return self._fits is not None or self._values is not None or _pattern is not None

    def of(self, arguments: Mapping[str, Any]) -> Redaction:
        """The redaction of a run with these arguments: the secrets among them are masked in its
        texts too. Raises nothing, whatever the arguments are."""
        if self._fits is None and all(type(value) in _ATOMS for value in arguments.values()):
            return self
        values = set(self._secrets(arguments, "", 0))
        return Redaction(self.patterns, values) if values else self

    def given(self, data: bytes) -> Redaction:
        """:meth:`of` for arguments as the JSON in which they were sent, whatever that is."""
        if self._fits is None:
            return self
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            return self
        return self.of(found) if isinstance(found, dict) else self

    def covers(self, name: str, value: object = None) -> bool:
        """Whether nothing of what is called ``name`` may be kept: it fits a pattern, is of a
        Secret type or holds one, or is a table with a column that fits."""
        if self._named(name, name):
            return True
        if _is_secret(value) or any(True for _ in _held(value, 0)):
            return True
        columns = getattr(value, "columns", None) if self._fits is not None else None
        if columns is None or isinstance(value, type):
            return False
        try:
            return any(self._named(str(column), f"{name}.{column}") for column in columns)
        except TypeError:  # something else that is called so
            return False

    def holds(self, name: str, value: object) -> bool:
        """Whether a file with ``value`` would hold what is to be masked: it is covered, or there is
        a name that fits at any depth, or text that would be masked."""
        if self.covers(name, value):
            return True
        if isinstance(value, str):
            return self.active and self.text(value) != value
        return self._fits is not None and self._within(value, name, 0)

    def text(self, text: str) -> str:
        """``text`` without secrets, and without what follows ``password=`` or ``"password":``."""
        if _pattern is not None:
            text = _pattern.sub(MASK, text)
        if self._values is not None:
            text = self._values.sub(MASK, text)
        if self._in_text is not None:
            text = self._in_text.sub(rf"\g<before>{MASK}", text)
        return text

    def names(self, text: str) -> bool:
        """Whether ``text``, which :meth:`text` made, has a covered name whose value it may show
        elsewhere, as a table does."""
        fits = self._fits
        return fits is not None and any(
            fits(word.group()) is not None and _SHOWN.match(text, word.end()) is None
            for word in _WORD.finditer(text)
        )

    def json(self, data: bytes, name: str = "") -> bytes:
        """JSON without what is to be masked; ``name`` is what the value is called. What cannot be
        looked through is masked as a whole."""
        if name and self._named(name, name):
            return bytes(_MASKED)
        try:
            if self._fits is None:
                shown = data.decode()
                if not any(p is not None and p.search(shown) for p in (_pattern, self._values)):
                    return data
            before = json.loads(data)
            after = self._clean(before, name, 0)
            return data if after == before else json.dumps(after, ensure_ascii=False).encode()
        except (ValueError, RecursionError):
            return bytes(_MASKED)

    def artifact(self, record: ArtifactRecord) -> ArtifactRecord:
        """``record`` without what is to be masked."""
        if self._named(record.name, f"{record.step}.{record.name}"):
            record.value, record.preview, record.digest = _MASKED, None, None
            return record
        if record.value is not None:
            record.value = msgspec.Raw(self.json(bytes(record.value), record.name))
        if record.preview is not None:
            record.preview = self.text(record.preview)
        return record

    def error(self, error: ErrorInfo) -> ErrorInfo:
        """``error`` without what is to be masked."""
        error.message = self.text(error.message)
        if error.traceback is not None:
            error.traceback = self.text(error.traceback)
        if error.hint is not None:
            error.hint = self.text(error.hint)
        for one in error.errors or ():
            one.update({key: self.text(text) for key, text in one.items()})
        return error

    # -- inside ------------------------------------------------------------------------------

    def _named(self, name: str, path: str) -> bool:
        fits = self._fits
        return fits is not None and (fits(name) is not None or fits(path) is not None)

    def _within(self, value: Any, path: str, depth: int) -> bool:
        """Whether a name at any depth fits: what is kept as a file cannot be masked in part."""
        if depth > _DEEPEST or type(value) in _ATOMS:
            return False
        if isinstance(value, dict):
            fields: Iterable[tuple[Any, Any]] = list(value.items())
        elif isinstance(value, pydantic.BaseModel) or is_dataclass(value):
            fields = list(getattr(value, "__dict__", {}).items())
        elif type(value) in (list, tuple, set, frozenset):
            return any(self._within(inner, path, depth + 1) for inner in list(value))
        else:
            return False
        for key, inner in fields:
            if inner is not None and self._named(str(key), f"{path}.{key}"):
                return True
            if self._within(inner, f"{path}.{key}", depth + 1):
                return True
        return False

    def _clean(self, value: Any, path: str, depth: int) -> Any:
        if isinstance(value, str):
            if _pattern is not None:
                value = _pattern.sub(MASK, value)
            return value if self._values is None else self._values.sub(MASK, value)
        if isinstance(value, dict):
            found = {}
            for key, inner in value.items():
                below = f"{path}.{key}" if path else key
                masked = inner is not None and self._named(key, below)
                found[hide(key)] = MASK if masked else self._clean(inner, below, depth + 1)
            return found
        if isinstance(value, list):
            return [self._clean(inner, path, depth + 1) for inner in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return MASK if self.text(repr(value)) == MASK else value
        return value

    def _secrets(self, value: Any, path: str, depth: int) -> Iterator[str]:
        """The texts that are secret in ``value``: of a Secret type, or under a name that fits."""
        if depth > _DEPTH:
            return
        if _is_secret(value):
            yield from _texts(value.get_secret_value())
            return
        if depth and self._fits is None and not isinstance(value, pydantic.BaseModel):
            return  # large data without a pattern: not worth a look at each of its parts
        for name, inner in _fields(value):
            below = f"{path}.{name}" if path else name
            if self._named(name, below):
                yield from _texts(inner)
            elif type(inner) not in _ATOMS:
                yield from self._secrets(inner, below, depth + 1)
        for inner in _items(value):
            if type(inner) not in _ATOMS:
                yield from self._secrets(inner, path, depth + 1)


NONE: Final = Redaction()
"""Masks nothing but the named secrets that were read."""


def _is_secret(value: object) -> bool:
    return isinstance(value, _SECRETS)


def _fields(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(str(key), inner) for key, inner in islice(list(value.items()), _MANY)]
    if isinstance(value, pydantic.BaseModel):
        return list(value.__dict__.items())
    return ()


def _items(value: Any) -> Iterable[Any]:
    return value[:_MANY] if type(value) in (list, tuple) else ()


def _held(value: Any, depth: int) -> Iterator[Any]:
    """The values of Secret types within models, dicts and lists."""
    if depth > _DEPTH or type(value) in _ATOMS:
        return
    if _is_secret(value):
        yield value
        return
    for _, inner in _fields(value):
        yield from _held(inner, depth + 1)
    for inner in _items(value):
        yield from _held(inner, depth + 1)


def _texts(value: Any) -> Iterator[str]:
    """What a secret value may look like in a text."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        if len(value) >= LEAST:
            yield value
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
    elif _is_secret(value):
        yield from _texts(value.get_secret_value())
