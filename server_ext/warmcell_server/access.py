"""Who may come in: host check, identity, origin and XSRF, authorizer, activity; in this order.

Works in a Jupyter server and in the embedded host alike, both of which carry Jupyter server's
``identity_provider`` and ``authorizer`` in the settings of the Tornado application.
"""

from __future__ import annotations

import hmac
import inspect
from collections.abc import Awaitable
from typing import Any, cast

from jupyter_server._tz import utcnow
from jupyter_server.auth.authorizer import AllowAllAuthorizer
from jupyter_server.auth.identity import IdentityProvider, PasswordIdentityProvider, User
from jupyter_server.base.handlers import JupyterHandler
from tornado import web

from warmcell.errors import Forbidden, Unauthenticated

__all__ = ["RESOURCE", "enter"]

RESOURCE = "warmcell"

# Only of exactly these types is it known what a token means: a subclass may mean anything.
_PLAIN_PROVIDERS = (IdentityProvider, PasswordIdentityProvider)
# Jupyter makes up another anonymous user per token request; in a history one name says more.
_TOKEN_USER = User("token", "Token", "Token", "T")


def enter(handler: JupyterHandler, action: str) -> Awaitable[None] | None:
    """Let the request in or raise. ``action`` is "read", "write" or "execute".

    Done at once for a request with the server's token in a header; other requests, and servers
    with an authorizer of their own, get something to await.

    Raises:
        Unauthenticated: no identity.
        Forbidden: a foreign host name or origin, a missing XSRF header, or the authorizer's no.
    """
    if not handler.check_host():
        raise Forbidden(
            f"The host name '{handler.request.host}' is not this server's.",
            hint="Call it as localhost, or set ServerApp.allow_remote_access.",
        )
    state = cast(Any, handler)
    if handler.request.method == "OPTIONS":  # a browser's preflight carries no credentials
        state.current_user = state._jupyter_current_user = None
        return None
    user = _token_user(handler)
    if user is None:
        return _enter_by_provider(handler, action)
    state.current_user = state._jupyter_current_user = user
    state._token_authenticated = True  # what the provider itself would note
    if "Origin" in handler.request.headers:  # the answer to anything else needs no CORS header
        handler.set_cors_headers()
    if type(handler.authorizer) is AllowAllAuthorizer:
        _mark_activity(handler)
        return None
    return _authorize(handler, user, action)


def _token_user(handler: JupyterHandler) -> User | None:
    """The user of a request that carries the server's own token, else None.

    Does what the provider does for such a request, but for the login cookie: a client with a token
    needs none, and signing it is the most expensive part of a request.
    """
    provider = handler.identity_provider
    if type(provider) not in _PLAIN_PROVIDERS:
        return None
    token = provider.token
    if not token:
        return None
    headers = handler.request.headers
    given = handler.get_query_argument("token", "") if handler.request.query else ""
    if not given:
        match = provider.auth_header_pat.match(headers.get("Authorization", ""))
        if match is None:
            return None
        given = match.group(2)
    if not hmac.compare_digest(given.encode("utf-8", "replace"), token.encode()):
        return None
    if "Cookie" in headers:
        known = provider.get_user_cookie(handler)
        if isinstance(known, User):
            return known
    return _TOKEN_USER


async def _enter_by_provider(handler: JupyterHandler, action: str) -> None:
    """Identify as Jupyter server does, then check the origin and authorize."""
    try:
        await JupyterHandler.prepare(handler, _redirect_to_login=False)
    except web.HTTPError as error:
        if error.status_code >= 500:
            raise
        if getattr(handler, "_jupyter_current_user", None) is not None:
            raise _cross_site(error.log_message) from error
        raise _unknown() from error
    user: User | None = handler.current_user
    if user is None:
        raise _unknown()
    if not handler.check_origin():
        raise _cross_site(f"The origin '{handler.get_origin()}' is not this server's.")
    await _authorize(handler, user, action)


async def _authorize(handler: JupyterHandler, user: User, action: str) -> None:
    # Not by Jupyter's decorator: it keeps the action and resource of its first call for good.
    allowed = handler.authorizer.is_authorized(handler, user, action, RESOURCE)
    if inspect.isawaitable(allowed):
        allowed = await allowed
    if not allowed:
        raise Forbidden(f"User '{user.username}' may not {action} {RESOURCE}.")
    _mark_activity(handler)


def _mark_activity(handler: JupyterHandler) -> None:
    """Tell Jupyter's idle shutdown that somebody is here; probes and long polls do not count."""
    if getattr(handler, "tracks_activity", True):
        handler.settings["api_last_activity"] = utcnow()


def _unknown() -> Unauthenticated:
    return Unauthenticated(
        "The request carries no valid token or login.",
        hint="Send the server's token: -H 'Authorization: token <token>' "
        "(`jupyter server list` shows it).",
    )


def _cross_site(message: str | None) -> Forbidden:
    return Forbidden(
        message or "The request comes from another site.",
        hint="A request with a login cookie needs the value of the _xsrf cookie in the header "
        "X-XSRFToken and a page of this server; a request with the token needs neither.",
    )
