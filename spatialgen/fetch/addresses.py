"""Which addresses may be connected to.

A list of URLs from the web is an attacker's way into the network it is downloaded from (server-side
request forgery; OWASP SSRF Prevention Cheat Sheet). Names can resolve to anything, at any time, and
redirects lead anywhere, so the address is checked where the socket is made: nothing gets past.
"""

import ipaddress
import socket
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from spatialgen.errors import ParamsError
from spatialgen.fetch.urls import host_of

# Addresses that lead to others (RFC 6052, 8215, 3056, 4291, 3879, 7526), which Python (3.11 at
# least) counts as global.
INDIRECT = tuple(
    ipaddress.ip_network(network)
    for network in (
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",
        "2002::/16",  # 6to4
        "2001::/32",  # Teredo
        "::/96",  # IPv4-compatible
        "fec0::/10",  # site-local
        "192.88.99.0/24",  # 6to4 relays
    )
)


class ForbiddenAddressError(OSError):
    """A connection to an address that is not public."""


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet."""
    ip: Any = ipaddress.ip_address(address.partition("%")[0])
    ip = getattr(ip, "ipv4_mapped", None) or ip
    if not ip.is_global or ip.is_multicast:
        return False
    return not any(ip.version == network.version and ip in network for network in INDIRECT)


def public_socket(address: tuple[Any, ...]) -> socket.socket:
    """aiohttp's socket factory: a socket for (family, type, proto, name, address), if it is public.

    Raises ForbiddenAddressError.
    """
    family, kind, protocol, _, (ip, *_) = address
    if not is_public(str(ip)):
        raise ForbiddenAddressError(f"forbidden address {ip}")
    return socket.socket(family, kind, protocol)


def mapped_socket(targets: Collection[tuple[str, int]], address: tuple[Any, ...]) -> socket.socket:
    """The socket factory for `compute.connect_to`: it leads to these addresses and ports alone."""
    family, kind, protocol, _, (ip, port, *_) = address
    if (str(ip), port) not in targets:
        raise ForbiddenAddressError(f"forbidden address {ip} port {port}")
    return socket.socket(family, kind, protocol)


@dataclass(frozen=True)
class Mapped(AbstractResolver):
    """Resolves only the hosts of `compute.connect_to`, each to its own address and port."""

    connect_to: Mapping[str, tuple[str, int]]

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The address and port that the user gave this host."""
        ip, mapped_port = self.connect_to[host]
        kind = socket.AF_INET6 if ":" in ip else socket.AF_INET
        return [
            ResolveResult(hostname=host, host=ip, port=mapped_port, family=kind, proto=0, flags=0)
        ]

    async def close(self) -> None:
        """Nothing to close."""


def parse_targets(connect_to: Mapping[str, str]) -> dict[str, tuple[str, int]]:
    """`compute.connect_to` by host as URLs have it after IDNA; raises ParamsError."""
    targets = {}
    for host, target in connect_to.items():
        name = host_of(f"http://{host}/")
        if not name or name != host.encode("idna").decode().lower() or is_address(name):
            raise ParamsError(
                f"compute.connect_to has {host!r}, which is no host name; write one, such as "
                "pictures.lan"
            )
        targets[name] = parse_target(target)
    return targets


def is_address(text: str) -> bool:
    """Whether a host is an IP address."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def parse_target(text: str) -> tuple[str, int]:
    """Address and port of `127.0.0.1:8080` or `[::1]:8080`; raises ParamsError."""
    host, _, port = text.rpartition(":")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
        if not 0 < int(port) < 65536:
            raise ValueError(f"port {port} is none")
    except ValueError as error:
        raise ParamsError(
            f"compute.connect_to has {text}: {error}; write an address and a port, such as "
            "127.0.0.1:8080"
        ) from None
    return str(address), int(port)
