"""The image server of the sample: a picture behind every URL, and the faults of the real web.

python -m spatialgen.sample.server data/sample     # prints its port, serves until its stdin ends

What a URL answers depends on the URL alone, so every run sees the same web.
"""

import asyncio
import io
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pyarrow as pa
from aiohttp import web
from PIL import Image

from spatialgen.errors import InputError
from spatialgen.lake.ids import h64
from spatialgen.sample.urls import PICTURES, fate_of

THUMBNAIL = (64, 64)
HANG_S = 3600.0
PAGE = "<html><head><title>404</title></head><body>图片不存在</body></html>"
REMOVED = Image.new("RGB", (128, 128), "white")
MOVED = "/moved"

Handler = Callable[[web.Request, bytes], Awaitable[web.StreamResponse]]


class Pictures:
    """The sample's pictures by path, read from disk as they are asked for."""

    def __init__(self, folder: Path) -> None:
        path = folder / PICTURES
        if not path.exists():
            raise InputError(f"{path} is missing; run dvc repro sample, or dvc checkout sample")
        try:
            self._table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        except pa.ArrowInvalid as error:
            raise InputError(f"{path} is damaged ({error}); run dvc repro -f -s sample") from None
        self._rows = {path: row for row, path in enumerate(self._table["path"].to_pylist())}

    def get(self, path: str) -> bytes | None:
        """The JPEG of a path and query, None where there is none."""
        row = self._rows.get(path)
        return None if row is None else self._table["jpeg"][row].as_py()


async def picture(request: web.Request, data: bytes) -> web.StreamResponse:
    """What most URLs answer."""
    return jpeg(data)


async def gone(request: web.Request, data: bytes) -> web.StreamResponse:
    """The page is gone, and so is its picture."""
    return web.Response(status=404, text=PAGE, content_type="text/html")


async def expired(request: web.Request, data: bytes) -> web.StreamResponse:
    """The URL's signature is too old."""
    return web.json_response({"error": "expired"}, status=403)


async def page(request: web.Request, data: bytes) -> web.StreamResponse:
    """HTML that calls itself a picture."""
    return web.Response(body=PAGE.encode(), content_type="image/jpeg")


async def removed(request: web.Request, data: bytes) -> web.StreamResponse:
    """One picture for everything that was removed."""
    return drawn(REMOVED)


async def thumbnail(request: web.Request, data: bytes) -> web.StreamResponse:
    """A picture too small to train on."""
    with Image.open(io.BytesIO(data)) as image:
        return drawn(image.resize(THUMBNAIL))


async def reserved(request: web.Request, data: bytes) -> web.StreamResponse:
    """A picture whose owner does not want it used."""
    response = jpeg(data)
    response.headers["X-Robots-Tag"] = "noai, noimageai"
    return response


async def moved(request: web.Request, data: bytes) -> web.StreamResponse:
    """The picture is elsewhere."""
    return web.Response(status=302, headers={"Location": MOVED + request.raw_path})


async def overloaded(request: web.Request, data: bytes) -> web.StreamResponse:
    """Today's answer to everybody."""
    return web.Response(status=503)


async def truncated(request: web.Request, data: bytes) -> web.StreamResponse:
    """A connection that ends too early, always at the same byte."""
    response = web.StreamResponse(headers={"Content-Type": "image/jpeg"})
    response.content_length = len(data)
    await response.prepare(request)
    await response.write(data[: len(data) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


async def hanging(request: web.Request, data: bytes) -> web.StreamResponse:
    """A server that accepts and says nothing."""
    await asyncio.sleep(HANG_S)
    return web.Response()


HANDLERS: dict[str, Handler] = {
    handler.__name__: handler
    for handler in (picture, gone, expired, page, removed, thumbnail, reserved, moved, overloaded,
                    truncated, hanging)
}  # fmt: skip
RECOVERING = 100  # more of them answer 503 once, and are themselves from then on


def jpeg(data: bytes) -> web.Response:
    """An ordinary answer."""
    return web.Response(body=data, content_type="image/jpeg")


def drawn(image: Image.Image) -> web.Response:
    """A picture made here."""
    file = io.BytesIO()
    image.save(file, "JPEG")
    return jpeg(file.getvalue())


def make_app(folder: Path) -> web.Application:
    """The server of the sample in `folder`."""
    app = web.Application()
    pictures = Pictures(folder)
    recovered: set[str] = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        path = request.raw_path
        fate = "picture" if path.startswith(MOVED) else fate_of(path)
        data = pictures.get(path.removeprefix(MOVED))
        if data is None:
            return await gone(request, b"")
        if h64("recovering", path) % 10_000 < RECOVERING and path not in recovered:
            recovered.add(path)
            return await overloaded(request, b"")
        return await HANDLERS[fate](request, data)

    app.router.add_get("/{path:.*}", answer)
    return app


async def main(folder: Path) -> None:
    """Serve until stdin ends: whoever started this server is gone then, however it ended."""
    runner = web.AppRunner(make_app(folder), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    # Nobody is left to wait for: requests that hang are cancelled with the loop.


if __name__ == "__main__":
    from spatialgen.project import guard

    guard(lambda: asyncio.run(main(Path(*sys.argv[1:2]))))
