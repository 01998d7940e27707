"""Settings of response headers: which other origins may read answers, and security headers."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

import pydantic
from pydantic import BeforeValidator

from warmcell.config.strict import Strict

__all__ = ["CORSConfig", "SecureHeadersConfig"]

_ON = frozenset({"enabled", "yes", "true", "on"})
_OFF = frozenset({"disabled", "no", "none", "false", "off", ""})
_ORIGIN = re.compile(r"null|[a-z][a-z0-9+.-]*://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d+)?")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class CORSConfig(Strict):
    """Which pages of other origins may read answers of a deployment.

    Without ``cors`` in the settings none may. Cookies are never part of it unless
    ``allow_credentials`` is set, which asks for origins by name.
    """

    owner: ClassVar[str] = "CORSConfig"

    allow_origins: list[str] = ["*"]
    allow_methods: list[str] = ["GET", "POST", "DELETE", "OPTIONS"]
    allow_headers: list[str] = ["*"]
    allow_credentials: bool = False

    @pydantic.field_validator("allow_origins")
    @classmethod
    def _origins(cls, origins: list[str]) -> list[str]:
        found = [origin.lower().rstrip("/") for origin in origins]
        for origin in found:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    "an origin is a scheme, a host and a port without a path, such as "
                    "https://example.com, or the one word '*'"
                )
        return found

    @pydantic.field_validator("allow_methods", "allow_headers")
    @classmethod
    def _words(cls, words: list[str]) -> list[str]:
        if not all(_TOKEN.fullmatch(word) for word in words):
            raise ValueError("a list of methods or header names is expected")
        return words

    @pydantic.model_validator(mode="after")
    def _no_cookies_for_all(self) -> CORSConfig:
        if self.allow_credentials and {"*", "null"} & set(self.allow_origins):
            raise ValueError(
                "allow_credentials for every origin would let every site act for whoever is "
                "logged in; name the origins in allow_origins"
            )
        return self


def _header(value: Any) -> Any:
    """ZenML's words for "our default" and "none"; a text is one line."""
    if isinstance(value, str):
        if value.lower() in _ON:
            return True
        if value.lower() in _OFF:
            return False
        if not value.isprintable() or not value.isascii() or value != value.strip():
            raise ValueError("a header is one line of ASCII text")
    elif not isinstance(value, bool):
        raise ValueError("True (our default), False (none) or the header's text is expected")
    return value


Header = Annotated[bool | str, BeforeValidator(_header)]


class SecureHeadersConfig(Strict):
    """Security headers: True sends Warmcell's default, a text is sent as it is, False omits it.

    ``server`` is ``Server``, ``hsts`` ``Strict-Transport-Security``, ``xfo`` ``X-Frame-Options``,
    ``content`` ``X-Content-Type-Options``, ``csp`` ``Content-Security-Policy``, ``referrer``
    ``Referrer-Policy``, ``cache`` ``Cache-Control`` and ``permissions`` ``Permissions-Policy``.
    """

    owner: ClassVar[str] = "SecureHeadersConfig"

    server: Header = False
    hsts: Header = False
    xfo: Header = True
    content: Header = True
    csp: Header = True
    referrer: Header = True
    cache: Header = True
    permissions: Header = True
