"""The image server of the sample: a picture behind every URL, and the faults of the real web.

python -m spatialgen.sample.server     # prints its port, serves 127.0.0.1 until its stdin ends

What a URL answers depends on the URL alone, so every run sees the same web.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable

from aiohttp import web

from spatialgen.lake.ids import h64
from spatialgen.sample.pictures import draw_picture

REMOVED_SEED = 404  # of the picture that says that there is none
THUMBNAIL = (120, 90)
HANG_S = 3600.0
PAGE = "<html><head><title>404</title></head><body>图片不存在</body></html>"

Handler = Callable[[web.Request, int], Awaitable[web.StreamResponse]]


async def picture(request: web.Request, seed: int) -> web.StreamResponse:
    """What most URLs answer."""
    return jpeg(draw_picture(seed))


async def gone(request: web.Request, seed: int) -> web.StreamResponse:
    """The page is gone, and so is its picture."""
    return web.Response(status=404, text=PAGE, content_type="text/html")


async def expired(request: web.Request, seed: int) -> web.StreamResponse:
    """The URL's signature is too old."""
    return web.json_response({"error": "expired"}, status=403)


async def page(request: web.Request, seed: int) -> web.StreamResponse:
    """HTML that calls itself a picture."""
    return web.Response(body=PAGE.encode(), content_type="image/jpeg")


async def removed(request: web.Request, seed: int) -> web.StreamResponse:
    """One picture for everything that was removed."""
    return jpeg(draw_picture(REMOVED_SEED))


async def thumbnail(request: web.Request, seed: int) -> web.StreamResponse:
    """A picture too small to train on."""
    return jpeg(draw_picture(seed, THUMBNAIL))


async def reserved(request: web.Request, seed: int) -> web.StreamResponse:
    """A picture whose owner does not want it used."""
    response = jpeg(draw_picture(seed))
    response.headers["X-Robots-Tag"] = "noai, noimageai"
    return response


async def moved(request: web.Request, seed: int) -> web.StreamResponse:
    """The picture is elsewhere."""
    return web.Response(status=302, headers={"Location": f"/moved/{seed & 0xFFFFFFFF:08x}.jpg"})


async def overloaded(request: web.Request, seed: int) -> web.StreamResponse:
    """Today's answer to everybody."""
    return web.Response(status=503)


async def truncated(request: web.Request, seed: int) -> web.StreamResponse:
    """A connection that ends too early, always at the same byte."""
    data = draw_picture(seed)
    response = web.StreamResponse(headers={"Content-Type": "image/jpeg"})
    response.content_length = len(data)
    await response.prepare(request)
    await response.write(data[: len(data) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


async def hanging(request: web.Request, seed: int) -> web.StreamResponse:
    """A server that accepts and says nothing."""
    await asyncio.sleep(HANG_S)
    return web.Response()


# In ten thousandths of the URLs; the others are pictures.
FAULTS: dict[Handler, int] = {
    gone: 250,
    expired: 120,
    page: 100,
    removed: 150,
    thumbnail: 100,
    reserved: 50,
    moved: 300,
    overloaded: 60,
    truncated: 40,
    hanging: 8,
}
RECOVERING = 100  # more of them answer 503 once, and are themselves from then on


def handler_of(path: str) -> Handler:
    """What answers this path and query."""
    if path.startswith("/moved/"):
        return picture
    place = h64("handler", path) % 10_000
    for handler, share in FAULTS.items():
        if place < share:
            return handler
        place -= share
    return picture


def jpeg(data: bytes) -> web.Response:
    """An ordinary answer."""
    return web.Response(body=data, content_type="image/jpeg")


def make_app() -> web.Application:
    """The server's application."""
    app = web.Application()
    recovered: set[str] = set()

    async def answer(request: web.Request) -> web.StreamResponse:
        path = request.raw_path
        if h64("recovering", path) % 10_000 < RECOVERING and path not in recovered:
            recovered.add(path)
            return await overloaded(request, 0)
        return await handler_of(path)(request, h64(path))

    app.router.add_get("/{path:.*}", answer)
    return app


async def main() -> None:
    """Serve until stdin ends: whoever started this server is gone then, however it ended."""
    runner = web.AppRunner(make_app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    # Nobody is left to wait for: requests that hang are cancelled with the loop.


if __name__ == "__main__":
    from spatialgen.project import guard

    guard(lambda: asyncio.run(main()))
