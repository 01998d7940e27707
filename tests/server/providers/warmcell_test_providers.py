"""An identity provider and an authorizer of a site's own, loaded by a server under test."""

from __future__ import annotations

import asyncio
from typing import Any

from jupyter_server.auth.authorizer import Authorizer
from jupyter_server.auth.identity import IdentityProvider, User

GRANTED = {
    "ada": {"read", "write", "execute"},
    "reader": {"read"},
    "caller": {"read", "execute"},
    "nobody": set(),
    "manager": {"read", "write", "execute"},  # but no kernels
}


class HeaderProvider(IdentityProvider):
    """Trusts the header ``X-Test-User``, as behind a proxy, and knows no token. Asynchronous.

    Outside of Warmcell it is Jupyter's own, so that a test can start kernels.
    """

    async def get_user(self, handler: Any) -> User | None:  # type: ignore[override]
        await asyncio.sleep(0)
        if "/warmcell/" not in handler.request.path:
            return await self._get_user(handler)
        name = handler.request.headers.get("X-Test-User")
        return User(name) if name else None


class ByUser(Authorizer):
    """Grants actions by user name on Warmcell, and all others but kernels to a manager.
    Asynchronous."""

    async def is_authorized(  # type: ignore[override]
        self, handler: Any, user: User, action: str, resource: str
    ) -> bool:
        await asyncio.sleep(0)
        if resource == "warmcell":
            return action in GRANTED[user.username]
        return resource != "kernels" or user.username != "manager"
