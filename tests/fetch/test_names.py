"""What names resolve to, with a name server of our own: rebinding, and names that are none."""

import asyncio
import ipaddress
from functools import partial

import pytest

from spatialgen.fetch import client
from spatialgen.fetch.client import Client, Limits
from spatialgen.fetch.outcome import Outcome
from spatialgen.fetch.reasons import Reason

LIMITS = Limits(max_bytes=1000, total_s=5, connect_s=2, read_s=1)
ZONE = {
    "loopback.example": ["127.0.0.1"],
    "private.example": ["10.1.2.3"],
    "metadata.example": ["169.254.169.254"],
    "rebinding.example": ["192.168.0.1", "127.0.0.1"],
}
NOT_FOUND, FAILED = 3, 2  # RFC 1035 response codes


class NameServer(asyncio.DatagramProtocol):
    """Answers A questions from ZONE; `broken` names fail, others do not exist."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        labels, place = [], 12
        while data[place]:
            labels.append(data[place + 1 : place + 1 + data[place]].decode())
            place += data[place] + 1
        question = data[12 : place + 5]
        name, kind = ".".join(labels), int.from_bytes(data[place + 1 : place + 3], "big")
        code = 0 if name in ZONE else FAILED if name.startswith("broken") else NOT_FOUND
        found = ZONE.get(name, []) if kind == 1 else []
        header = data[:2] + (0x8180 | code).to_bytes(2, "big") + b"\0\1"
        header += len(found).to_bytes(2, "big") + b"\0\0\0\0"
        answers = b"".join(
            b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + ipaddress.ip_address(ip).packed for ip in found
        )
        self.transport.sendto(header + question + answers, address)  # type: ignore[attr-defined]


def fetch(url: str, monkeypatch: pytest.MonkeyPatch) -> Outcome:
    async def run() -> Outcome:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
        resolver = partial(client.Resolver, nameservers=[f"127.0.0.1:{port}"], timeout=1, tries=1)
        monkeypatch.setattr(client, "Resolver", resolver)
        try:
            async with Client(LIMITS, "spatialgen/test", {}) as asking:
                return await asking.fetch(url)
        finally:
            transport.close()

    return asyncio.run(run())


@pytest.mark.parametrize("name", ZONE)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_name_is_no_way_into_our_network(
    name: str, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcome = fetch(f"{scheme}://{name}/a.jpg", monkeypatch)
    assert outcome.reason is Reason.forbidden_address, outcome.error


def test_a_name_that_is_none_is_told_from_a_resolver_that_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert fetch("http://nowhere.example/", monkeypatch).reason is Reason.no_such_host
    assert fetch("http://broken.example/", monkeypatch).reason is Reason.dns
