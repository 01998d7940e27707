"""Egress: what a caller may have us call, however it is written, whatever its name resolves to."""

from __future__ import annotations

import asyncio
import ipaddress

import pytest

from warmcell.errors import ParameterError, UsageError
from warmcell_server.webhooks.egress import CheckedResolver, Egress, EgressRefused

PUBLIC = [
    "93.184.215.14", "8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.1", "100.63.255.255",
    "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "2a00:1450:4001:80b::200e",
    "64:ff9b::8.8.8.8", "::ffff:8.8.8.8",
]  # fmt: skip
INTERNAL = [
    "0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1", "192.168.1.1",
    "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.1.2.3",
    "240.0.0.1", "255.255.255.255",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1",
    "2002:7f00:1::", "3fff::1", "5f00::1", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%1",
    "fec0::1", "ff02::1", "4000::1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_may_be_called(address: str) -> None:
    assert Egress().permits("a.example", ipaddress.ip_address(address))


@pytest.mark.parametrize("address", INTERNAL)
def test_others_may_not(address: str) -> None:
    assert not Egress().permits("a.example", ipaddress.ip_address(address))


def test_hosts_and_networks_can_be_listed() -> None:
    """By name with all its addresses, by network whatever the name; an IPv4 network also counts
    for its addresses in IPv6's clothes."""
    egress = Egress([" Hooks.Internal.", "10.1.0.0/16", "127.0.0.1", "fd00::/8"])
    allowed = [
        ("hooks.internal", "192.168.0.1"), ("HOOKS.internal.", "::1"), ("x", "10.1.2.3"),
        ("x", "::ffff:10.1.2.3"), ("x", "127.0.0.1"), ("x", "fd00::1"),
    ]  # fmt: skip
    refused = [("other.internal", "192.168.0.1"), ("x", "10.2.0.1"), ("x", "127.0.0.2")]
    for host, address in allowed:
        assert egress.permits(host, ipaddress.ip_address(address)), (host, address)
    for host, address in refused:
        assert not egress.permits(host, ipaddress.ip_address(address)), (host, address)


@pytest.mark.parametrize("entry", ["", "http://a.example", "a.example:80", "10.0.0.0/99", "a b"])
def test_a_listed_thing_that_is_neither_is_named(entry: str) -> None:
    with pytest.raises(UsageError, match="no host and no network"):
        Egress([entry])


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com/done",
        "http://hooks.example.com:8080/a/b?c=d#e",
        "https://93.184.215.14/",
        "https://[2606:2800:21f::1]:8443/x",
        "https://xn--bcher-kva.example/%20",
    ],
)
def test_urls_that_can_be_called_pass(url: str) -> None:
    Egress().check(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "characters"),
        ("hooks.example.com/done", "no http or https URL"),
        ("ftp://hooks.example.com/", "no http or https URL"),
        ("file:///etc/passwd", "no http or https URL"),
        ("javascript:alert(1)", "no http or https URL"),
        ("https:///done", "names no host"),
        ("https://:443/", "names no host"),
        ("https://a.example:0/", "names no host"),
        ("https://a.example:99999/", "is no URL"),
        ("https://a.example:x/", "is no URL"),
        ("https://[::1/", "is no URL"),
        ("https://ada:secret@a.example/", "user name"),
        ("https://a.example/\r\nX-Evil: 1", "characters"),
        ("https://a.example/ b", "characters"),
        ("https://a.example\\@127.0.0.1/", "characters"),
        ("https://bücher.example/", "characters"),
        ("https://a.example/" + "x" * 2000, "longer than"),
        ("http://127.0.0.1/", "not public"),
        ("http://127.1/", "not public"),
        ("http://2130706433/", "not public"),
        ("http://0x7f000001/", "not public"),
        ("http://0177.0.0.1/", "not public"),
        ("http://[::ffff:127.0.0.1]/", "not public"),
        ("http://[fe80::1%25eth0]/", "not public"),
        ("http://169.254.169.254/latest/meta-data", "not public"),
        ("http://localhost:8888/", "not public"),
        ("http://LOCALHOST./", "not public"),
        ("http://x.localhost/", "not public"),
    ],
)
def test_urls_that_cannot_be_called_are_refused(url: str, reason: str) -> None:
    """At admission, with the place of the URL in the request and the way out."""
    with pytest.raises(ParameterError, match=reason) as caught:
        Egress().check(url)
    assert [error["pointer"] for error in caught.value.errors] == ["/callback_url"]
    assert ("callback_allow" in str(caught.value.hint)) == (reason == "not public")


def test_a_listed_host_passes() -> None:
    egress = Egress(["localhost", "127.0.0.0/8"])
    for url in ("http://localhost:8888/", "http://127.0.0.1/", "http://127.1:9/"):
        egress.check(url)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "::1", "0"])
def test_a_name_is_judged_by_what_it_resolves_to(host: str) -> None:
    """When it is connected to; the answer does not tell the address."""

    async def resolve(allow: list[str]) -> list[tuple[int, tuple[str, int]]]:
        resolver = CheckedResolver(egress=Egress(allow))
        try:
            return await resolver.resolve(host, 80)
        finally:
            resolver.close()

    with pytest.raises(EgressRefused, match=f"The host '{host}' is not public") as caught:
        asyncio.run(resolve([]))
    assert "127.0.0.1" not in str(caught.value).replace(host, "")
    found = asyncio.run(resolve([host] if host != "0" else ["0.0.0.0"]))
    assert found
    assert all(address[1] == 80 for _, address in found)
