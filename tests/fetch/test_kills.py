"""Killed, interrupted, and out of room: what is committed stays, and the rest is asked again."""

import asyncio
import collections
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import lance
import pytest

from spatialgen.fetch.stage import SCHEMA
from spatialgen.lake.lake import Lake
from tests.conftest import REPOSITORY
from tests.fetch.hostile import HostileServer, hostile_server, keep, page
from tests.fetch.lists import download, files, params, publish_captions, rows_of, url
from tests.fetch.shapes import draw_picture

PICTURES = 240


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    """Another picture at each URL, after 20 ms."""
    with hostile_server() as running:
        for number in range(PICTURES):
            running.replies[f"/{number}.jpg"] = late(draw_picture(number))
        yield running


def late(picture: bytes):
    async def reply(server: HostileServer, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.02)
        await page(picture)(server, writer)

    return keep(reply)


def lake_with_list(folder: Path) -> Lake:
    lake = Lake(folder / "lake", store=folder / ".lake")
    lost = [url(f"/lost{n}.jpg") for n in range(20)]
    urls = [url(f"/{n}.jpg") for n in range(PICTURES)] + lost
    publish_captions(lake, [(address, "左边是猫") for address in urls])
    return lake


def start(folder: Path, server: HostileServer) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.fetch.stubborn", str(folder), str(server.port)]
    return subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def stored(lake: Lake) -> int:
    return lake.memo("download", SCHEMA).count_rows()


def wait_for_rows(lake: Lake, least: int) -> None:
    deadline = time.monotonic() + 60
    while stored(lake) < least:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_kills_lose_seconds_and_change_nothing(tmp_path: Path, server: HostileServer) -> None:
    clean, killed = lake_with_list(tmp_path / "clean"), lake_with_list(tmp_path / "killed")
    download(clean, server.port, params(retries=2))
    server.requests.clear()
    rng = random.Random(4)
    for kill in range(4):
        process = start(tmp_path / "killed", server)
        wait_for_rows(killed, 1 + 45 * kill)
        time.sleep(rng.uniform(0, 0.3))
        process.kill()
        process.communicate()
        for row in killed.memo("download", SCHEMA).open().to_table().to_pylist():  # type: ignore[union-attr]
            assert row["status"] == "permanent" or row["sha256"] in pictures_in_store(killed)
    done = download(killed, server.port, params(retries=2))
    assert done.reused > 100
    assert rows_of(killed, "downloads") == rows_of(clean, "downloads")
    assert files(killed) == files(clean)
    for table in ("downloads", "images"):
        manifests = [(lake.root / f"{table}.json").read_text() for lake in (clean, killed)]
        assert manifests[0] == manifests[1]
    memo = killed.memo("download", SCHEMA).open()
    assert memo is not None
    keys = collections.Counter(memo.to_table(columns=["key"])["key"].to_pylist())
    assert set(keys.values()) == {1}
    # At most what was in flight and one commit interval, each time.
    assert sum(server.requests.values()) < PICTURES + 20 + 4 * 120


def pictures_in_store(lake: Lake) -> set[str]:
    path = lake.store_root / "store" / "images.lance"
    return set(lance.dataset(str(path)).to_table(columns=["sha256"])["sha256"].to_pylist())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_commits_and_says_130(
    tmp_path: Path, server: HostileServer, number: signal.Signals
) -> None:
    lake = lake_with_list(tmp_path)
    process = start(tmp_path, server)
    wait_for_rows(lake, 20)
    process.send_signal(number)
    started = time.monotonic()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert "everything committed so far is kept" in errors
    assert "Traceback" not in errors
    assert time.monotonic() - started < 10
    kept = stored(lake)
    assert 20 <= kept < PICTURES + 20
    assert download(lake, server.port, params(retries=2)).reused == kept


def test_a_full_disk_stops_it_with_everything_committed(
    small_disk: Path, server: HostileServer
) -> None:
    lake = lake_with_list(small_disk)
    filler = small_disk / "filler"
    filler.write_bytes(b"\0" * 3_000_000)
    process = start(small_disk, server)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert "error: the disk is full" in errors
    assert "Traceback" not in errors
    memo = lake.memo("download", SCHEMA).open()
    rows = [] if memo is None else memo.to_table().to_pylist()
    assert {row["sha256"] for row in rows if row["status"] == "ok"} <= pictures_in_store(lake)
    filler.unlink()
    assert download(lake, server.port, params(retries=2)).reused == len(rows) > 0
    assert len(files(lake)) == PICTURES
