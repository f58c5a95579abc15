import asyncio
import socket

import pytest

from spatialgen.errors import ParamsError
from spatialgen.fetch.addresses import (
    ForbiddenAddressError,
    Mapped,
    is_public,
    parse_target,
    parse_targets,
    public_socket,
)

PRIVATE = [
    "127.0.0.1",
    "127.9.9.9",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "0.0.0.0",
    "198.18.0.1",
    "192.0.2.1",
    "203.0.113.9",
    "224.0.0.1",
    "239.1.1.1",
    "240.0.0.1",
    "255.255.255.255",
    "192.88.99.1",
    "::1",
    "::",
    "fe80::1",
    "fc00::1",
    "fd12::1",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b:1::1",
    "2002:7f00:1::1",
    "2001:0:1::1",
    "::7f00:1",
    "fec0::1",
    "fe80::1%eth0",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "114.114.114.114",
    "2606:4700:4700::1111",
    "2400:3200::1",
    "::ffff:8.8.8.8",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_no_socket_leads_to_an_address_that_is_not_public(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    assert not is_public(address)
    with pytest.raises(ForbiddenAddressError, match="forbidden address"):
        public_socket((family, socket.SOCK_STREAM, 6, "", (address, 80)))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_get_a_socket(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    assert is_public(address)
    public_socket((family, socket.SOCK_STREAM, 6, "", (address, 80))).close()


def test_a_mapped_host_has_its_own_address_and_port() -> None:
    resolver = Mapped({"a.test": ("127.0.0.1", 8080), "b.test": ("::1", 1)})
    (found,) = asyncio.run(resolver.resolve("a.test", 80))
    assert (found["host"], found["port"]) == ("127.0.0.1", 8080)
    (found,) = asyncio.run(resolver.resolve("b.test", 443))
    assert (found["host"], found["port"], found["family"]) == ("::1", 1, socket.AF_INET6)


def test_hosts_are_names_as_urls_have_them() -> None:
    mapped = parse_targets({"My.Test": "127.0.0.1:80", "图片.lan": "10.0.0.1:8080"})
    chinese = "图片".encode("idna").decode()
    assert mapped == {"my.test": ("127.0.0.1", 80), f"{chinese}.lan": ("10.0.0.1", 8080)}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "http://a.test", "a.test:80", "a b", ""])
def test_other_hosts_are_refused(host: str) -> None:
    with pytest.raises(ParamsError, match="is no host name"):
        parse_targets({host: "127.0.0.1:80"})


def test_targets_are_an_address_and_a_port() -> None:
    assert parse_target("127.0.0.1:8080") == ("127.0.0.1", 8080)
    assert parse_target("[::1]:80") == ("::1", 80)


@pytest.mark.parametrize("text", ["localhost:80", "127.0.0.1", "1.2.3:80", "1.2.3.4:99999", ":80"])
def test_other_targets_are_refused_with_the_remedy(text: str) -> None:
    with pytest.raises(ParamsError, match=r"such as\s+127.0.0.1:8080"):
        parse_target(text)
