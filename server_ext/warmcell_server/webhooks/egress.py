"""Where this server may send what a caller asked it to send: public addresses, and listed ones.

A URL that a stranger names must not reach what only this machine can reach. The address that is
judged is the one that is connected to, so that a name which changes its address in between (DNS
rebinding) gains nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias
from urllib.parse import SplitResult, urlsplit

from tornado.netutil import Resolver

from warmcell.errors import ParameterError, UsageError

__all__ = ["CheckedResolver", "Egress", "EgressRefused"]

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

LONGEST_URL = 2000
LOOKUPS = 8  # threads: a name server that does not answer must not take up anybody else's
HINT = (
    "To allow it, list the host or its network in Warmcell.callback_allow of the server's "
    "configuration, or in WARMCELL_CALLBACK_ALLOW where a notebook serves itself."
)

log = logging.getLogger("warmcell.egress")

_TEXT = re.compile(r"[!-\[\]-~]+")  # printable ASCII without "\", which parsers disagree about
_HOST = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_NUMERIC = re.compile(r"[0-9a-fx.]+")
# IANA's special-purpose registries. The tables behind ipaddress.is_global differ between patch
# versions of Python, and it has no opinion about some of these.
_SPECIAL_4 = [
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
    )
]  # fmt: skip
_GLOBAL_6 = ipaddress.IPv6Network("2000::/3")
_SPECIAL_6 = [
    ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
]
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class EgressRefused(Exception):
    """A host has an address that nothing may be sent to."""


class Egress:
    """The rule. ``allow`` lists hosts, and networks such as ``10.1.0.0/16``, beside the public
    addresses.

    Raises :class:`UsageError` for an entry that is neither.
    """

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self._hosts: set[str] = set()
        self._networks: list[Network] = []
        for entry in allow:
            self._add(entry.strip())

    def _add(self, entry: str) -> None:
        try:
            self._networks.append(ipaddress.ip_network(entry, strict=False))
            return
        except ValueError:
            host = _normal(entry)
        if not _HOST.fullmatch(host):
            raise UsageError(
                f"callback_allow lists {entry!r}, which is no host and no network.",
                hint="For example: hooks.example.com, 10.1.0.0/16 or 127.0.0.1 (without a port).",
            )
        self._hosts.add(host)

    def check(self, url: str, *, pointer: str = "/callback_url") -> None:
        """Refuse a URL that can never be called, as far as that shows without asking for its
        address. ``pointer`` is where it stood in the request.

        Raises :class:`ParameterError`.
        """
        reason = self._reason(url)
        if reason is not None:
            name = pointer.rpartition("/")[2]
            refused = reason.endswith("not public")
            raise ParameterError(
                f"{name} {reason}.",
                errors=[{"pointer": pointer, "message": reason, "type": "url"}],
                hint=HINT if refused else "For example: https://hooks.example.com/done",
            )

    def _reason(self, url: str) -> str | None:
        if len(url) > LONGEST_URL:
            return f"is longer than {LONGEST_URL} characters"
        if not _TEXT.fullmatch(url):
            return "has characters that a URL must not have as they are"
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            return f"is no URL: {error}"
        if parts.scheme not in ("http", "https"):
            return "is no http or https URL"
        if not parts.hostname or port == 0:
            return "names no host that can be called"
        if "@" in parts.netloc:
            return "has a user name in it, which would be kept in the history"
        return None if self._may_be_public(parts) else "names a host that is not public"

    def _may_be_public(self, parts: SplitResult) -> bool:
        host = _normal(parts.hostname or "")
        literal = _literal(host)
        if literal is not None:
            return self.permits(host, literal)
        return host in self._hosts or not (host == "localhost" or host.endswith(".localhost"))

    def permits(self, host: str, address: Address) -> bool:
        """Tell whether ``address``, one of ``host``'s, may be connected to."""
        if _normal(host) in self._hosts:
            return True
        inner = _inner(address)
        if any(a.version == n.version and a in n for n in self._networks for a in (address, inner)):
            return True
        if isinstance(inner, ipaddress.IPv4Address):
            return not any(inner in network for network in _SPECIAL_4)
        return inner in _GLOBAL_6 and not any(inner in network for network in _SPECIAL_6)


class CheckedResolver(Resolver):
    """Finds the addresses of a host, and refuses the host if one of them may not be used."""

    def initialize(self, egress: Egress) -> None:
        self._egress = egress
        self._threads = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="warmcell-lookup")

    async def resolve(
        self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[tuple[int, Any]]:
        """Return pairs of family and socket address.

        Raises :class:`EgressRefused`, or :class:`OSError` for a host that has no address.
        """
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, socket.getaddrinfo, host, port, family, socket.SOCK_STREAM
        )
        usable: list[tuple[int, Any]] = [
            (kind, address) for kind, _, _, _, address in found if kind in _FAMILIES
        ]
        for _, address in usable:
            text = str(address[0])
            if not self._egress.permits(host, ipaddress.ip_address(text)):
                # The address goes to the log only: what callers see must not map this network.
                log.warning("Nothing is sent to %s: its address %s is not public.", host, text)
                raise EgressRefused(f"The host '{host}' is not public. {HINT}")
        return usable

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


_FAMILIES = (socket.AF_INET, socket.AF_INET6)


def _normal(host: str) -> str:
    return host.lower().rstrip(".")


def _literal(host: str) -> Address | None:
    """Read a host that is an address, also in the odd forms that the system takes (``127.1``)."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    if not _NUMERIC.fullmatch(host):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None


def _inner(address: Address) -> Address:
    """The IPv4 address that an IPv6 address leads to, where it does; else the address itself."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _NAT64:
            return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
