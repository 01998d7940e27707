"""Who may come in: host check, identity, origin and XSRF, authorizer, activity; in this order.

Besides those whom Jupyter knows, holders of a key of ours come in, by what its scopes say, and
anybody where a deployment is public. Both bring no cookie that a foreign page could make use of,
so neither origin nor XSRF is looked at.

Works in a Jupyter server and in the embedded host alike, both of which carry Jupyter server's
``identity_provider`` and ``authorizer`` in the settings of the Tornado application.
"""

from __future__ import annotations

import hmac
import inspect
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, cast

from jupyter_server._tz import utcnow
from jupyter_server.auth.authorizer import AllowAllAuthorizer
from jupyter_server.auth.identity import IdentityProvider, PasswordIdentityProvider, User
from jupyter_server.base.handlers import JupyterHandler
from tornado import web

from warmcell.errors import Forbidden, Unauthenticated
from warmcell_server.keys.key import PREFIX
from warmcell_server.keys.pagekeys import void

if TYPE_CHECKING:
    from warmcell_server.handlers.base import Handler

__all__ = ["PUBLIC", "RESOURCE", "check", "enter", "given_key"]

RESOURCE = "warmcell"
PUBLIC = "public"  # the user of runs that somebody made who need not say who it is

# Only of exactly these types is it known what a token means: a subclass may mean anything.
_PLAIN_PROVIDERS = (IdentityProvider, PasswordIdentityProvider)
# Jupyter makes up another anonymous user per token request; in a history one name says more.
_TOKEN_USER = User("token", "Token", "Token", "T")
_ANYBODY = User(PUBLIC)


def enter(handler: Handler, action: str) -> Awaitable[None] | None:
    """Let the request in or raise. ``action`` is "read", "write" or "execute".

    Done at once for a request with the server's token or a key in a header, and for those who
    come as anybody; other requests, and servers with an authorizer of their own, get something to
    await.

    Raises:
        Unauthenticated: no identity, or a key that is not valid.
        Forbidden: a foreign host name or origin, a missing XSRF header, the authorizer's no, or a
            key for something else.
        StoreError: keys cannot be read.
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
    if "X-API-Key" not in handler.request.headers:
        user = _token_user(handler)
        if user is not None:
            return _enter_by_token(handler, user, action)
    text = given_key(handler)
    if text is None and not _may_be_anybody(handler):
        return _enter_by_provider(handler, action)
    if handler.settings.get("warmcell") is None:
        return _enter_once_started(handler, action)
    if text is not None:
        _enter_by_key(handler, text)
        return None
    if handler.is_open:
        _enter_as_anybody(handler)
        return None
    return _enter_by_provider(handler, action)


async def _enter_once_started(handler: Handler, action: str) -> None:
    """Keys and settings of deployments are the host's to know."""
    await handler.started()
    text = given_key(handler)
    if text is not None:
        _enter_by_key(handler, text)
    elif handler.is_open:
        _enter_as_anybody(handler)
    else:
        await _enter_by_provider(handler, action)


def _enter_by_token(handler: Handler, user: User, action: str) -> Awaitable[None] | None:
    state = cast(Any, handler)
    state.current_user = state._jupyter_current_user = user
    state._token_authenticated = True  # what the provider itself would note
    if type(handler.authorizer) is AllowAllAuthorizer:
        _mark_activity(handler)
        return None
    return _authorize(handler, user, action)


def given_key(handler: JupyterHandler) -> str | None:
    """The key of ours that the request carries, in a header; one in the query is none."""
    headers = handler.request.headers
    key: str | None = headers.get("X-API-Key")
    if key is not None:
        return key
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    value = value.strip()
    if value.startswith(PREFIX) and scheme.lower() in ("bearer", "token"):
        return value
    return None


def _enter_by_key(handler: Handler, text: str) -> None:
    key = handler.host.keys.find(text)
    scope = handler.needs
    if scope is None:
        raise Forbidden(
            "A key opens the calls of its deployment, and not this.",
            hint="Send the server's token: -H 'Authorization: token <token>'.",
        )
    if key.deployment != handler.path_args[0]:
        raise Forbidden(
            f"The key '{key.name}' is for another deployment.",
            hint="Make one for this deployment: deployment.create_key(name).",
        )
    if scope != "any" and scope not in key.scopes:
        raise Forbidden(
            f"The key '{key.name}' lacks the scope '{scope}'.",
            hint=f"Make one that has it: deployment.create_key(name, scopes=['{scope}']).",
        )
    if key.anybody and (handler.named is None or handler.named.served.auth != "public"):
        raise void()
    handler.key = key
    state = cast(Any, handler)
    state.current_user = state._jupyter_current_user = User(key.user)
    _mark_activity(handler)


def _may_be_anybody(handler: Handler) -> bool:
    """Whether the request brings nothing that Jupyter's own providers could know somebody by."""
    return (
        handler.for_all
        and "Cookie" not in handler.request.headers
        and not _offers_token(handler)
        and type(handler.identity_provider) in _PLAIN_PROVIDERS
    )


def _offers_token(handler: Handler) -> bool:
    scheme = handler.request.headers.get("Authorization", "").partition(" ")[0]
    return scheme.lower() in ("bearer", "token") or "token" in handler.request.query_arguments


def _enter_as_anybody(handler: Handler) -> None:
    handler.anybody = True
    state = cast(Any, handler)
    state.current_user = state._jupyter_current_user = _ANYBODY
    _mark_activity(handler)


def _token_user(handler: Handler) -> User | None:
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


async def _enter_by_provider(handler: Handler, action: str) -> None:
    """Identify as Jupyter server does, then check the origin and authorize."""
    try:
        await JupyterHandler.prepare(handler, _redirect_to_login=False)
    except web.HTTPError as error:
        if error.status_code >= 500:
            raise
        if getattr(handler, "_jupyter_current_user", None) is not None:
            raise _cross_site(error.log_message) from error
    user: User | None = handler.current_user
    if user is None:
        if handler.for_all and not _offers_token(handler):
            await handler.started()
            if handler.is_open:
                _enter_as_anybody(handler)
                return
        raise _unknown(handler)
    if not handler.check_origin():
        raise _cross_site(f"The origin '{handler.get_origin()}' is not this server's.")
    await _authorize(handler, user, action)


async def _authorize(handler: Handler, user: User, action: str) -> None:
    await check(handler, user, action, RESOURCE)
    _mark_activity(handler)


async def check(handler: Handler, user: User, action: str, resource: str) -> None:
    """Raise :class:`Forbidden` unless the server's authorizer lets ``user`` do this."""
    # Not by Jupyter's decorator: it keeps the action and resource of its first call for good.
    allowed = handler.authorizer.is_authorized(handler, user, action, resource)
    if inspect.isawaitable(allowed):
        allowed = await allowed
    if not allowed:
        raise Forbidden(f"User '{user.username}' may not {action} {resource}.")


def _mark_activity(handler: Handler) -> None:
    """Tell Jupyter's idle shutdown that somebody is here; probes and long polls do not count."""
    if handler.tracks_activity:
        handler.settings["api_last_activity"] = utcnow()


def _unknown(handler: Handler) -> Unauthenticated:
    if PREFIX in handler.request.query:
        return Unauthenticated(
            "A key in the query is not looked at: it would end up in logs.",
            hint="Send it in a header: -H 'Authorization: Bearer <key>' or -H 'X-API-Key: <key>'.",
        )
    return Unauthenticated(
        "The request carries no valid token or login.",
        hint="Send the server's token: -H 'Authorization: token <token>' "
        "(`jupyter server list` shows it), or a key of the deployment: "
        "-H 'Authorization: Bearer <key>'.",
    )


def _cross_site(message: str | None) -> Forbidden:
    return Forbidden(
        message or "The request comes from another site.",
        hint="A request with a login cookie needs the value of the _xsrf cookie in the header "
        "X-XSRFToken and a page of this server; a request with the token needs neither.",
    )
