"""A fast server of real pictures, for `download`.

python -m tests.benchmarks.picture_server PORT_FILE [CERTIFICATE KEY]

/fast/N.jpg     at once
/close/N.jpg    at once, on a connection of its own
/slow/N.jpg     after 50 to 200 ms
/faults/N.jpg   as slow; 5 % answer 404, 5 % answer 503, 5 % never answer

Every N is another picture: bytes behind the end of a JPEG make it so.
"""

import asyncio
import io
import ssl
import sys
import time
from pathlib import Path
from typing import ClassVar

from PIL import Image

from tests.conftest import DATA

SIDES = (288, 352, 416, 480, 544)
QUALITY = 90
FAULT = ((5, "hang"), (10, "404 Not Found"), (15, "503 Service Unavailable"))


def fault_of(number: int) -> str | None:
    """What /faults/ does to this picture instead of sending it."""
    place = _mixed(number) % 100
    return next((fault for below, fault in FAULT if place < below), None)


def _mixed(number: int) -> int:
    return (number * 2654435761 & 0xFFFFFFFF) >> 4


def pictures() -> list[bytes]:
    """The photographs at web size, about 50 KB each."""
    made = []
    for place, path in enumerate(sorted((DATA / "photos").glob("*.jpg"))):
        with Image.open(path) as image:
            side = SIDES[place % len(SIDES)]
            image.thumbnail((side, side))
            file = io.BytesIO()
            image.convert("RGB").save(file, "JPEG", quality=QUALITY)
        made.append(file.getvalue())
    return made


class Server(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, as little of it as the benchmark needs."""

    files: ClassVar[list[bytes]] = []
    first: ClassVar[Path]  # written at a request, unless it exists

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.pending = b""

    def data_received(self, data: bytes) -> None:
        self.pending += data
        while (end := self.pending.find(b"\r\n\r\n")) >= 0:
            request, self.pending = self.pending[:end], self.pending[end + 4 :]
            self.answer(request.split(b" ", 2)[1].decode())

    def answer(self, path: str) -> None:
        if not Server.first.exists():
            Server.first.write_text(str(time.time()))
        kind, name = path.strip("/").split("/")
        number = int(name.partition(".")[0])
        if kind in ("fast", "close"):
            self.send(number, close=kind == "close")
            return
        fault = fault_of(number) if kind == "faults" else None
        if fault == "hang":
            return
        delay = 0.05 + 0.15 * ((_mixed(number) >> 8) % 1000) / 1000
        reply = (lambda: self.fail(fault)) if fault else (lambda: self.send(number))
        asyncio.get_running_loop().call_later(delay, reply)

    def send(self, number: int, *, close: bool = False) -> None:
        body = Server.files[number % len(Server.files)] + number.to_bytes(8, "big")
        ending = "close" if close else "keep-alive"
        self.transport.write(
            f"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n"
            f"Connection: {ending}\r\n\r\n".encode()
            + body
        )
        if close:
            self.transport.close()

    def fail(self, status: str) -> None:
        self.transport.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())


async def main() -> None:
    ready, *certificate = Path(sys.argv[1]), *sys.argv[2:]
    context = None
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate[0], certificate[1])
    Server.files = pictures()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Server, "127.0.0.1", 0, ssl=context, backlog=8192)
    Server.first = ready.with_suffix(".first")
    scratch = ready.with_suffix(".tmp")
    scratch.write_text(str(server.sockets[0].getsockname()[1]))
    scratch.rename(ready)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
