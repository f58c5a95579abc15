"""The sample's image server answers with the pictures of the sample."""

import asyncio
import io
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer
from PIL import Image

from spatialgen.errors import InputError
from spatialgen.sample.server import HANDLERS, THUMBNAIL, Pictures, make_app
from spatialgen.sample.shards import PICTURES_SCHEMA
from spatialgen.sample.urls import FAULTS, PICTURES, fate_of
from tests.fetch.shapes import draw_picture

PATHS = [f"/it/u={number},7&fm=26&gp=0.jpg" for number in range(3000)]


@pytest.fixture
def folder(tmp_path):
    """Pictures of 3,000 paths, a few different ones."""
    drawn = [draw_picture(seed) for seed in range(5)]
    data = [drawn[number % 5] for number in range(len(PATHS))]
    with pa.ipc.new_file(str(tmp_path / PICTURES), PICTURES_SCHEMA) as file:
        file.write_table(pa.table([PATHS, data], schema=PICTURES_SCHEMA))
    return tmp_path


async def ask(folder: Path, path: str, twice: bool = True) -> tuple[int, bytes, ClientResponse]:
    async with TestClient(TestServer(make_app(folder))) as client:
        if twice:  # some recover
            await client.get(path)
        response = await client.get(path)
        return response.status, await response.read(), response


def of(name: str) -> str:
    return next(path for path in PATHS if fate_of(path) == name)


@pytest.mark.parametrize(
    ("fault", "status"), [("picture", 200), ("moved", 200), ("reserved", 200), ("gone", 404),
                          ("expired", 403), ("overloaded", 503)]
)  # fmt: skip
def test_answers_follow_from_the_path(folder, fault, status):
    path = of(fault)
    got, body, response = asyncio.run(ask(folder, path))
    assert got == status
    if status == 200:
        assert body == Pictures(folder).get(path)
    assert ("X-Robots-Tag" in response.headers) == (fault == "reserved")


def test_thumbnails_are_small_and_removed_pictures_all_alike(folder):
    _, body, _ = asyncio.run(ask(folder, of("thumbnail")))
    with Image.open(io.BytesIO(body)) as image:
        assert image.size == THUMBNAIL
    removed = [path for path in PATHS if fate_of(path) == "removed"][:2]
    assert len({asyncio.run(ask(folder, path))[1] for path in removed}) == 1


def test_unknown_paths_are_gone(folder):
    assert asyncio.run(ask(folder, "/nothing.jpg"))[0] == 404


def test_faults_have_their_shares():
    counts = Counter(fate_of(f"/{number}") for number in range(40_000))
    for fault, share in FAULTS.items():
        assert counts[fault] == pytest.approx(4 * share, rel=0.3, abs=20)
    assert set(counts) == {"picture", *FAULTS} == set(HANDLERS)


def test_missing_pictures_name_the_remedy(tmp_path):
    with pytest.raises(InputError, match="run dvc repro sample"):
        Pictures(tmp_path)


def test_damaged_pictures_name_the_remedy(folder):
    path = folder / PICTURES
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="run dvc repro -f -s sample"):
        Pictures(folder)
