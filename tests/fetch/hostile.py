"""A server that misbehaves in every way that the web does, at the byte level."""

import asyncio
import gzip
import ssl
import threading
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from tests.fetch.shapes import draw_picture

PICTURE = draw_picture(7)
Reply = Callable[["HostileServer", asyncio.StreamWriter], Awaitable[None]]


def response(
    body: bytes = b"",
    status: str = "200 OK",
    *,
    length: int | None = None,
    headers: Mapping[str, str] | None = None,
) -> bytes:
    """The bytes of an HTTP response; `length` lies about the body's."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def page(body: bytes, **headers: str) -> Reply:
    """Answers 200 with this body, and keeps the connection."""
    return keep(raw(response(body, headers=headers)))


def status(line: str, **headers: str) -> Reply:
    """Answers without a picture, and keeps the connection."""
    return keep(raw(response(b"no", line, headers=headers)))


def keep(reply: Reply) -> Reply:
    """Mark a reply that says where it ends."""
    reply.keeps = True  # type: ignore[attr-defined]
    return reply


def redirect(target: str) -> Reply:
    """Sends elsewhere."""
    return status("302 Found", Location=target)


def raw(data: bytes) -> Reply:
    """Sends just these bytes, and closes."""

    async def reply(server: "HostileServer", writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return reply


async def drip(server: "HostileServer", writer: asyncio.StreamWriter) -> None:
    """One byte at a time, so that no single read ever takes long."""
    writer.write(response(length=len(PICTURE)))
    for place in range(len(PICTURE)):
        writer.write(PICTURE[place : place + 1])
        await writer.drain()
        await asyncio.sleep(0.1)


async def hang(server: "HostileServer", writer: asyncio.StreamWriter) -> None:
    """Accepts, and says nothing."""
    await asyncio.sleep(60)


async def endless(server: "HostileServer", writer: asyncio.StreamWriter) -> None:
    """A body without an end and without a length."""
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n\xff\xd8")
    while True:
        writer.write(b"\0" * 65536)
        server.sent += 65536
        await writer.drain()


async def reset(server: "HostileServer", writer: asyncio.StreamWriter) -> None:
    """Hangs up in the middle of the headers."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-")
    await writer.drain()
    writer.transport.abort()


REPLIES: dict[str, Reply] = {
    "/ok.jpg": page(PICTURE),
    "/%E5%9B%BE%E7%89%87/%E4%B8%AD%E6%96%87.jpg": page(PICTURE),
    "/a%20b.jpg": page(PICTURE),
    "/signed/src=http%3A%2F%2Fb.cn%2Fa.jpg&t=1": page(PICTURE),
    "/amp?a=1&b=2": page(PICTURE),
    "/lying.jpg": page(PICTURE, Content_Type="text/html"),
    "/cookies.jpg": page(PICTURE, Set_Cookie="id=1; Path=/"),
    "/chunked.jpg": raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + f"{len(PICTURE):x}\r\n".encode()
        + PICTURE
        + b"\r\n0\r\n\r\n"
    ),
    "/unlimited.jpg": raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + PICTURE),
    "/gzip.jpg": page(gzip.compress(PICTURE), Content_Encoding="gzip"),
    "/deflate.jpg": page(zlib.compress(PICTURE), Content_Encoding="deflate"),
    "/gzip-bomb.jpg": page(gzip.compress(b"\0" * 300_000_000, 1), Content_Encoding="gzip"),
    "/broken-gzip.jpg": page(b"\x1f\x8b nonsense", Content_Encoding="gzip"),
    "/brotli.jpg": page(b"\x8b\x02\x80", Content_Encoding="br"),
    "/html.jpg": page("<html>图片不存在</html>".encode(), Content_Type="image/jpeg"),
    "/empty.jpg": page(b""),
    "/half.jpg": page(PICTURE[: len(PICTURE) // 2]),
    "/short.jpg": raw(response(PICTURE[:500], length=len(PICTURE))),
    "/cut-chunks.jpg": raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1000\r\n" + PICTURE[:0x500]
    ),
    "/cut-unlimited.jpg": raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + PICTURE[:900]),
    "/announced.jpg": raw(response(b"", length=400_000_000)),
    "/negative.jpg": raw(response(PICTURE, length=-5)),
    "/endless.jpg": endless,
    "/drip.jpg": drip,
    "/hang.jpg": hang,
    "/reset.jpg": reset,
    "/no-http.jpg": raw(b"220 ready\r\n"),
    "/many-headers.jpg": raw(b"HTTP/1.1 200 OK\r\n" + b"X-Y: " + b"z" * 200_000 + b"\r\n\r\n"),
    "/404.jpg": status("404 Not Found"),
    "/404-short.jpg": raw(response(b"no", "404 Not Found", length=500)),
    "/404-noindex.jpg": status("404 Not Found", X_Robots_Tag="noindex"),
    "/503-noindex.jpg": status("503 Busy", X_Robots_Tag="noindex"),
    "/no-gzip.jpg": page(PICTURE, Content_Encoding="gzip"),
    "/aws-chunked.jpg": page(PICTURE, Content_Encoding="aws-chunked"),
    "/half-gzip.jpg": page(gzip.compress(PICTURE)[:-600], Content_Encoding="gzip"),
    "/forbidden-words.jpg": raw(b"HTTP/1.1 abc forbidden address\r\n\r\n"),
    "/410.jpg": status("410 Gone"),
    "/401.jpg": status("401 Unauthorized"),
    "/403.jpg": status("403 Forbidden"),
    "/451.jpg": status("451 Unavailable"),
    "/400.jpg": status("400 Bad Request"),
    "/204.jpg": status("204 No Content"),
    "/206.jpg": status("206 Partial Content"),
    "/304.jpg": status("304 Not Modified"),
    "/408.jpg": status("408 Request Timeout"),
    "/429.jpg": status("429 Too Many Requests", Retry_After="1"),
    "/500.jpg": status("500 Error"),
    "/503.jpg": status("503 Busy", Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"),
    "/robots.jpg": page(PICTURE, X_Robots_Tag="noai"),
    "/robots-list.jpg": page(PICTURE, X_Robots_Tag="all, NoImageAI"),
    "/robots-us.jpg": page(PICTURE, X_Robots_Tag="spatialgen: noindex"),
    "/robots-others.jpg": page(PICTURE, X_Robots_Tag="otherbot: noindex, noai"),
    "/tdm.jpg": page(PICTURE, tdm_reservation="1"),
    "/tdm-0.jpg": page(PICTURE, tdm_reservation="0"),
    "/moved.jpg": redirect("/ok.jpg"),
    "/moved-up.jpg": redirect("../ok.jpg"),
    "/moved-protocol.jpg": redirect("//hostile.test/ok.jpg"),
    "/moved-chinese.jpg": redirect("/图片/中文.jpg"),
    "/loop.jpg": redirect("/loop.jpg"),
    "/nowhere.jpg": status("302 Found"),
    "/to-file.jpg": redirect("file:///etc/passwd"),
    "/to-port.jpg": redirect("http://hostile.test:22/"),
    "/to-loopback.jpg": redirect("http://127.0.0.1/secret"),
    "/to-metadata.jpg": redirect("http://169.254.169.254/latest/meta-data/"),
    "/to-v6.jpg": redirect("http://[::1]/"),
    "/to-mapped-v6.jpg": redirect("http://[::ffff:127.0.0.1]/"),
}


class HostileServer:
    """Counts what it is asked and what it sends."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.headers: list[str] = []
        self.sent = 0
        self.port = 0
        self.replies = dict(REPLIES)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                path = head.split(" ")[1]
                self.requests[path] += 1
                self.headers.append(head)
                reply = self.replies.get(path) or status("404 Not Found")
                await reply(self, writer)
                if not getattr(reply, "keeps", False):
                    break
        except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
            pass
        finally:
            writer.close()

    async def run(self, ready: threading.Event, context: ssl.SSLContext | None) -> None:
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await server.serve_forever()


@contextmanager
def hostile_server(context: ssl.SSLContext | None = None) -> Iterator[HostileServer]:
    """A running server, in a thread of its own; with a context, of https."""
    server, ready, loop = HostileServer(), threading.Event(), asyncio.new_event_loop()
    task = loop.create_task(server.run(ready, context))

    def serve() -> None:
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        pending = asyncio.all_tasks(loop)
        for waiting in pending:
            waiting.cancel()
        if pending:
            loop.run_until_complete(asyncio.wait(pending))
        loop.close()

    thread = threading.Thread(target=serve)
    thread.start()
    assert ready.wait(10)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)
