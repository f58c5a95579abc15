"""The stage as a library: what is asked, kept and published, and what params change."""

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spatialgen.errors import InputError, LakeError, RowsError
from spatialgen.fetch.images import KnownDigests
from spatialgen.fetch.probe import ALL, probe
from spatialgen.fetch.publish import counts
from spatialgen.fetch.seed import seed_answers
from spatialgen.fetch.stage import SCHEMA, download_stage
from spatialgen.lake.lake import Lake
from spatialgen.params import load_params
from spatialgen.statistics import wilson
from tests.conftest import REPOSITORY, compute_params
from tests.fetch.hostile import PICTURE, HostileServer, hostile_server, page, status
from tests.fetch.lists import (
    HOST,
    by_url,
    download,
    files,
    params,
    publish_captions,
    rows_of,
    store_fragments,
    url,
)
from tests.fetch.shapes import draw_picture
from tests.fetch.test_client import BAD


@pytest.fixture
def server() -> Iterator[HostileServer]:
    with hostile_server() as running:
        yield running


def serve_pictures(server: HostileServer, count: int, first: int = 100) -> list[str]:
    """Another picture at each of these URLs."""
    urls = []
    for number in range(first, first + count):
        server.replies[f"/{number}.jpg"] = page(draw_picture(number))
        urls.append(url(f"/{number}.jpg"))
    return urls


def memo(lake: Lake) -> list[dict[str, object]]:
    dataset = lake.memo("download", SCHEMA).open()
    assert dataset is not None
    found: list[dict[str, object]] = dataset.to_table().to_pylist()
    return found


def test_every_asked_row_has_an_answer_and_every_picture_is_kept_once(
    lake: Lake, server: HostileServer
) -> None:
    urls = serve_pictures(server, 30)
    hostile = [url(path) for path in BAD if path not in ("/gzip-bomb.jpg",)]
    same = [url("/ok.jpg"), url("/lying.jpg"), url("/moved.jpg")]
    odd = ["file:///etc/passwd", "http://127.0.0.1/x", "http://[bad", "ftp://x/y"]
    publish_captions(lake, [(u, "左边是猫") for u in [*urls, *hostile, *same, *odd]])
    done = download(lake, server.port, params(max_bytes=1_000_000))
    rows = by_url(lake)
    assert done.asked == len(rows) == 30 + len(hostile) + 3 + len(odd)
    for address in urls:
        assert (rows[address]["status"], rows[address]["reason"]) == ("ok", None)
    assert {rows[address]["sha256"] for address in same} == {hashlib.sha256(PICTURE).hexdigest()}
    for path, reason in BAD.items():
        if url(path) in rows:
            row = rows[url(path)]
            assert (row["status"], row["reason"]) == (reason.status, reason), path
            assert row["sha256"] is None
    assert [rows[address]["reason"] for address in odd] == [
        "bad_scheme",
        "forbidden_address",
        "bad_url",
        "bad_scheme",
    ]
    assert rows[urls[0]]["host"] == HOST
    assert rows["file:///etc/passwd"]["host"] == ""
    kept = files(lake)
    assert kept == {hashlib.sha256(data).hexdigest(): data for data in kept.values()}
    assert set(kept.values()) == {PICTURE, *(draw_picture(n) for n in range(100, 130))}
    counted = counts(lake)
    assert counted["images"] == 31
    assert counted["bytes"] == sum(map(len, kept.values()))
    assert counted["ok"] == 33


def test_a_url_is_fetched_once_for_all_its_rows(lake: Lake, server: HostileServer) -> None:
    publish_captions(lake, [(url("/ok.jpg"), f"左边是猫{n}") for n in range(20)])
    done = download(lake, server.port)
    assert server.requests["/ok.jpg"] == done.computed == 1
    assert [row["status"] for row in rows_of(lake, "downloads")] == ["ok"] * 20
    assert download(lake, server.port).computed == 0
    assert server.requests["/ok.jpg"] == 1


def test_what_selects_fetches_nothing(lake: Lake, server: HostileServer) -> None:
    urls = serve_pictures(server, 5)
    server.replies["/small.jpg"] = page(draw_picture(1, (120, 90)))
    publish_captions(lake, [(u, "左边是猫") for u in [*urls, url("/small.jpg")]])
    download(lake, server.port)
    first = (lake.root / "images.json").read_text()
    asked = server.requests.total()
    for changed, reason in (
        ({"min_side": 100}, "too_small"),
        ({"max_pixels": 20_000}, "too_many_pixels"),
        ({"max_bytes": 3000}, "too_large"),
    ):
        assert download(lake, server.port, params(**changed)).computed == 0
        reasons = {row["reason"] for row in rows_of(lake, "downloads")}
        assert reason in reasons
        lost = [row for row in rows_of(lake, "downloads") if row["reason"] == reason]
        assert {(row["status"], row["sha256"]) for row in lost} == {("permanent", None)}
        kept = {row["sha256"] for row in rows_of(lake, "downloads") if row["status"] == "ok"}
        assert set(files(lake)) == kept
    assert download(lake, server.port).computed == 0
    assert (lake.root / "images.json").read_text() == first, "and back again"
    assert server.requests.total() == asked


def test_a_larger_limit_asks_again_only_what_was_larger(lake: Lake, server: HostileServer) -> None:
    urls = serve_pictures(server, 8)
    sizes = sorted(len(draw_picture(n)) for n in range(100, 108))
    publish_captions(lake, [(u, "左边是猫") for u in [*urls, url("/404.jpg")]])
    assert download(lake, server.port, params(max_bytes=sizes[3])).computed == 9
    assert counts(lake)["ok"] == 4
    assert download(lake, server.port, params(max_bytes=sizes[5])).computed == 4
    assert counts(lake)["ok"] == 6
    assert download(lake, server.port, params(max_bytes=sizes[7])).computed == 2
    assert counts(lake)["ok"] == 8
    assert download(lake, server.port, params(max_bytes=sizes[3])).computed == 0
    assert counts(lake)["ok"] == 4
    assert server.requests["/404.jpg"] == 1


def test_without_robots_what_they_kept_is_asked_again(lake: Lake, server: HostileServer) -> None:
    server.replies["/robots.txt"] = page(b"User-agent: *\nDisallow: /lying")
    publish_captions(lake, [(url(path), "左边是猫") for path in ("/ok.jpg", "/lying.jpg")])
    download(lake, server.port, params(robots=True))
    assert by_url(lake)[url("/lying.jpg")]["reason"] == "robots"
    assert download(lake, server.port, params(robots=True)).computed == 0
    assert download(lake, server.port).computed == 1
    assert counts(lake)["ok"] == 2


def test_another_attempt_asks_only_what_failed_for_a_passing_reason(
    lake: Lake, server: HostileServer
) -> None:
    paths = ["/ok.jpg", "/404.jpg", "/500.jpg", "/short.jpg", "/html.jpg"]
    publish_captions(lake, [(url(path), "左边是猫") for path in paths])
    download(lake, server.port)
    assert download(lake, server.port).computed == 0, "equal params ask nothing"
    server.replies["/500.jpg"] = page(draw_picture(9))
    again = download(lake, server.port, params(attempt=2))
    assert (again.computed, again.failed) == (2, 1)
    assert server.requests["/500.jpg"] == server.requests["/short.jpg"] == 2
    assert server.requests["/404.jpg"] == server.requests["/ok.jpg"] == 1
    assert by_url(lake)[url("/500.jpg")]["status"] == "ok"
    download(lake, server.port)
    assert by_url(lake)[url("/500.jpg")]["status"] == "ok", "an answer stays one"


def test_retries_within_a_run_find_what_recovers(lake: Lake, server: HostileServer) -> None:
    recovers = server.replies["/500.jpg"]
    calls = []

    async def reply(running: HostileServer, writer: object) -> None:
        calls.append(1)
        await (recovers if len(calls) == 1 else page(PICTURE))(running, writer)  # type: ignore[arg-type]

    server.replies["/500.jpg"] = reply
    publish_captions(lake, [(url("/500.jpg"), "左边是猫")])
    download(lake, server.port, params(retries=2))
    (row,) = memo(lake)
    assert (row["status"], row["requests"]) == ("ok", 2)


def test_take_chooses_rows(lake: Lake, server: HostileServer) -> None:
    publish_captions(lake, [(url("/ok.jpg"), "手机上市")], spatial_type="none")
    assert download(lake, server.port).asked == 0
    assert rows_of(lake, "downloads") == rows_of(lake, "images") == []
    assert download(lake, server.port, params(take=["none", "weak"])).asked == 1


def test_a_picture_that_cannot_be_decoded_is_damaged(lake: Lake, server: HostileServer) -> None:
    broken = bytearray(draw_picture(3))
    broken[200:-200] = b"\0" * (len(broken) - 400)  # its header and its end are whole
    server.replies["/broken.jpg"] = page(bytes(broken))
    server.replies["/again.jpg"] = page(bytes(broken))
    publish_captions(lake, [(url(p), "左边是猫") for p in ("/broken.jpg", "/again.jpg", "/ok.jpg")])
    done = download(lake, server.port)
    rows = by_url(lake)
    assert rows[url("/broken.jpg")]["reason"] == rows[url("/again.jpg")]["reason"] == "damaged"
    assert (done.failed, len(files(lake))) == (2, 1)


def test_more_rows_add_fragments_and_rewrite_none(lake: Lake, server: HostileServer) -> None:
    urls = serve_pictures(server, 40)
    publish_captions(lake, [(u, "左边是猫") for u in urls[:35]])
    download(lake, server.port)
    before = {path.stat().st_ino for path in lake["images"].path.rglob("*.lance")}
    fragments = store_fragments(lake)
    publish_captions(lake, [(u, "左边是猫") for u in urls])
    assert download(lake, server.port).computed == 5
    after = {path.stat().st_ino for path in lake["images"].path.rglob("*.lance")}
    assert before < after
    assert store_fragments(lake) == fragments + 1
    assert len(files(lake)) == 40


def test_removed_pictures_are_noticed_and_the_remedy_helps(
    lake: Lake, server: HostileServer
) -> None:
    import shutil

    publish_captions(lake, [(url("/ok.jpg"), "左边是猫")])
    download(lake, server.port)
    store = lake.store_root / "store"
    shutil.rmtree(store / "images.lance")
    with pytest.raises(LakeError, match="holds 0 of the 1 pictures"):
        download(lake, server.port)
    shutil.rmtree(store / "download.lance")
    download(lake, server.port)
    assert len(files(lake)) == 1


def test_a_pulled_table_fills_the_store(lake: Lake, server: HostileServer, tmp_path: Path) -> None:
    paths = ["/ok.jpg", "/404.jpg", "/500.jpg"]
    publish_captions(lake, [(url(path), "左边是猫") for path in paths])
    download(lake, server.port)
    from spatialgen.lake.upkeep import seed_store

    clone = Lake(lake.root, store=tmp_path / "other")
    seed_store(clone)
    stage = download_stage(params(), compute_params())
    assert seed_answers(clone, stage) == 2
    assert seed_answers(clone, stage) == 0
    server.requests.clear()
    download(clone, server.port)
    assert dict(server.requests) == {"/500.jpg": 1}
    assert set(files(clone)) == {hashlib.sha256(PICTURE).hexdigest()}


def test_a_probe_tells_the_share_and_keeps_what_it_fetched(
    lake: Lake, server: HostileServer
) -> None:
    urls = serve_pictures(server, 30)
    gone = [url(f"/gone{n}.jpg") for n in range(10)]
    odd = ["ftp://elsewhere/x.jpg"]
    publish_captions(lake, [(u, "左边是猫") for u in [*urls, *gone, *odd]])
    chosen = load_params(REPOSITORY / "params.yaml")
    compute = compute_params(connect_to={HOST: f"127.0.0.1:{server.port}"})
    chosen = chosen.model_copy(update={"download": params(), "compute": compute})
    *hosts, together = probe(lake, chosen, 1000)
    assert [host.host for host in hosts] == [HOST, ""]
    assert (hosts[0].share, hosts[0].reason) == (wilson(30, 40), "gone")
    assert (together.host, together.share) == (ALL, wilson(30, 41))
    asked = server.requests.total()
    *_, sampled = probe(lake, chosen, 11)
    assert sampled.share.n == 11
    assert download(lake, server.port).computed == 0
    assert server.requests.total() == asked
    with pytest.raises(InputError, match=r"widen it"):
        probe(lake, chosen.model_copy(update={"download": params(take=["none"])}), 10)


def test_a_starved_process_makes_no_false_timeouts(lake: Lake, server: HostileServer) -> None:
    urls = serve_pictures(server, 60)

    async def slow(running: HostileServer, writer: object) -> None:
        import asyncio

        await asyncio.sleep(0.4)
        await page(PICTURE)(running, writer)  # type: ignore[arg-type]

    for number in range(60):
        server.replies[f"/{number + 100}.jpg"] = slow
    publish_captions(lake, [(u, "左边是猫") for u in urls])
    stop = threading.Event()

    def starve() -> None:
        """Hold the interpreter for longer than any deadline, again and again."""
        while not stop.wait(0.3):
            sum(range(30_000_000))

    greedy = threading.Thread(target=starve)
    greedy.start()
    started = time.monotonic()
    try:
        download(lake, server.port, per_host=8, timeout_s=0.7, read_timeout_s=0.7)
    finally:
        stop.set()
        greedy.join()
    assert counts(lake)["ok"] == 60, counts(lake)
    assert time.monotonic() - started < 120


def test_known_digests(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spatialgen.fetch.images.RECENT", 7)
    known = KnownDigests(lake.stored("images", SCHEMA))
    digests = [hashlib.sha256(bytes([n])).hexdigest() for n in range(50)]
    digests += ["ab" * 31 + "00", "00" * 32, "ab" * 30 + "0000"]
    for n, digest in enumerate(digests):
        assert digest not in known
        known.add(digest)
        assert all(earlier in known for earlier in digests[: n + 1])


def test_status_is_what_the_server_said_last(lake: Lake, server: HostileServer) -> None:
    server.replies["/teapot.jpg"] = status("418 Teapot")
    publish_captions(lake, [(url("/teapot.jpg"), "左边是猫")])
    download(lake, server.port)
    assert by_url(lake)[url("/teapot.jpg")]["http_status"] == 418


def test_rows_that_wait_do_not_stop_the_others(
    lake: Lake, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spatialgen.fetch.crawl.LEAST_AHEAD", 20)
    forbidden = [url(f"/forbidden{n}.jpg") for n in range(150)]
    for number in range(150):
        server.replies[f"/forbidden{number}.jpg"] = status("403 Forbidden")
    urls = serve_pictures(server, 50)
    publish_captions(lake, [(u, "左边是猫") for u in [*forbidden, *urls]])
    started = time.monotonic()
    download(lake, server.port, params(retries=1), concurrency=4)
    assert time.monotonic() - started < 40, "not a minute for each window"
    assert counts(lake)["ok"] == 50
    assert server.requests["/forbidden7.jpg"] == 2


def test_an_outage_ends_the_run_and_keeps_what_it_had(
    lake: Lake, server: HostileServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("LEAST_AHEAD", 20), ("OUTAGE_S", 0.2), ("OUTAGE_ROWS", 20)):
        monkeypatch.setattr(f"spatialgen.fetch.crawl.{name}", value)
    paths = [f"/{number}.jpg" for number in range(10_000)]  # more than an outage uses up

    async def cut_off(running: HostileServer, writer: object) -> None:
        if running.requests.total() > 100:
            writer.transport.abort()  # type: ignore[attr-defined]
        else:
            await page(PICTURE)(running, writer)  # type: ignore[arg-type]

    server.replies = dict.fromkeys(paths, cut_off)
    publish_captions(lake, [(url(path), "左边是猫") for path in paths])
    monkeypatch.setattr("spatialgen.fetch.hosts.BREAK_AFTER", 10**6)
    with pytest.raises(RowsError, match="is this machine cut off"):
        download(lake, server.port, params(retries=5), concurrency=8)
    assert 50 <= lake.memo("download", SCHEMA).count_rows() < len(paths)
