"""The hostile suite: every way in which the web misbehaves, and what becomes of the row."""

import asyncio
import contextlib
import hashlib
import resource
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spatialgen.fetch.addresses import ForbiddenAddressError, mapped_socket
from spatialgen.fetch.client import Client, Limits
from spatialgen.fetch.outcome import Outcome
from spatialgen.fetch.reasons import Reason
from tests.fetch.hostile import (
    PICTURE,
    HostileServer,
    Reply,
    hang,
    hostile_server,
    page,
    redirect,
    status,
)

HOST = "hostile.test"
LIMITS = Limits(max_bytes=1_000_000, total_s=2, connect_s=1, read_s=1)


@pytest.fixture(scope="module")
def server() -> Iterator[HostileServer]:
    with hostile_server() as running:
        yield running


def fetch(server: HostileServer, *urls: str, limits: Limits = LIMITS) -> list[Outcome]:
    """One request for each, one after the other, with one client."""

    async def run() -> list[Outcome]:
        target = {HOST: ("127.0.0.1", server.port)}
        async with Client(limits, "spatialgen/test (tests@example.org)", target) as client:
            return [await client.fetch(url) for url in urls]

    return asyncio.run(run())


GOOD = [
    "/ok.jpg",
    "/图片/中文.jpg",
    "/lying.jpg",
    "/chunked.jpg",
    "/unlimited.jpg",
    "/gzip.jpg",
    "/deflate.jpg",
    "/no-gzip.jpg",
    "/aws-chunked.jpg",
    "/signed/src=http%3A%2F%2Fb.cn%2Fa.jpg&t=1",
    "/amp?a=1&amp;b=2",
    "/moved.jpg",
    "/moved-up.jpg",
    "/moved-chinese.jpg",
    "/moved-protocol.jpg",
    "/robots-others.jpg",
    "/tdm-0.jpg",
    "/cookies.jpg",
]


@pytest.mark.parametrize("path", [*GOOD, "/a b.jpg"])
def test_what_is_a_picture_is_kept_as_it_came(server: HostileServer, path: str) -> None:
    (outcome,) = fetch(server, f"http://{HOST}{path}")
    assert (outcome.reason, outcome.error) == (None, None)
    assert outcome.data == PICTURE
    assert outcome.sha256 == hashlib.sha256(PICTURE).hexdigest()
    assert outcome.n_bytes == len(PICTURE)
    assert outcome.picture is not None
    assert outcome.picture.format == "jpeg"


BAD = {
    "/gzip-bomb.jpg": Reason.too_large,
    "/broken-gzip.jpg": Reason.not_image,
    "/brotli.jpg": Reason.not_image,
    "/html.jpg": Reason.not_image,
    "/empty.jpg": Reason.not_image,
    "/half.jpg": Reason.damaged,
    "/short.jpg": Reason.truncated,
    "/cut-chunks.jpg": Reason.truncated,
    "/cut-unlimited.jpg": Reason.truncated,
    "/announced.jpg": Reason.too_large,
    "/negative.jpg": Reason.http_error,
    "/endless.jpg": Reason.too_large,
    "/drip.jpg": Reason.timeout,
    "/hang.jpg": Reason.timeout,
    "/reset.jpg": Reason.connection,
    "/no-http.jpg": Reason.http_error,
    "/many-headers.jpg": Reason.http_error,
    "/404.jpg": Reason.gone,
    "/404-short.jpg": Reason.gone,
    "/404-noindex.jpg": Reason.gone,
    "/503-noindex.jpg": Reason.server_error,
    "/half-gzip.jpg": Reason.truncated,
    "/forbidden-words.jpg": Reason.http_error,
    "/410.jpg": Reason.gone,
    "/401.jpg": Reason.forbidden,
    "/403.jpg": Reason.forbidden,
    "/451.jpg": Reason.forbidden,
    "/400.jpg": Reason.http_error,
    "/204.jpg": Reason.http_error,
    "/206.jpg": Reason.http_error,
    "/304.jpg": Reason.http_error,
    "/408.jpg": Reason.server_error,
    "/429.jpg": Reason.rate_limited,
    "/500.jpg": Reason.server_error,
    "/503.jpg": Reason.server_error,
    "/robots.jpg": Reason.opt_out,
    "/robots-list.jpg": Reason.opt_out,
    "/robots-us.jpg": Reason.opt_out,
    "/tdm.jpg": Reason.opt_out,
    "/loop.jpg": Reason.redirects,
    "/nowhere.jpg": Reason.redirects,
    "/to-file.jpg": Reason.bad_scheme,
    "/to-port.jpg": Reason.bad_port,
    "/to-loopback.jpg": Reason.forbidden_address,
    "/to-metadata.jpg": Reason.forbidden_address,
    "/to-v6.jpg": Reason.forbidden_address,
    "/to-mapped-v6.jpg": Reason.forbidden_address,
}


@pytest.mark.parametrize(("path", "reason"), BAD.items())
def test_what_is_none_has_its_reason(server: HostileServer, path: str, reason: Reason) -> None:
    started = time.monotonic()
    (outcome,) = fetch(server, f"http://{HOST}{path}")
    assert outcome.reason is reason, outcome.error
    assert outcome.error is not None
    assert outcome.error.startswith(f"{reason}")
    assert outcome.data is None
    assert time.monotonic() - started < LIMITS.total_s + 2


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/x",
        "http://127.1/x",
        "http://2130706433/x",
        "http://0x7f000001/x",
        "http://0177.0.0.1/x",
        "http://localhost/x",
        "http://10.0.0.1/x",
        "http://192.168.0.1/x",
        "http://169.254.169.254/latest",
        "http://100.64.0.1/x",
        "http://198.18.0.1/x",
        "http://0.0.0.0/x",
        "http://[::1]/x",
        "http://[::]/x",
        "http://[::ffff:127.0.0.1]/x",
        "http://[64:ff9b::7f00:1]/x",
        "http://[fd00::1]/x",
        "https://127.0.0.1/x",
    ],
)
def test_no_url_reaches_this_machine_or_its_network(server: HostileServer, url: str) -> None:
    (outcome,) = fetch(server, url)
    # Aliases of addresses are no names, wherever that is noticed first.
    assert outcome.reason in {
        Reason.forbidden_address,
        Reason.bad_url,
        Reason.no_such_host,
        Reason.dns,
    }


def test_the_mapped_port_is_open_to_the_mapped_host_alone(server: HostileServer) -> None:
    (outcome,) = fetch(server, f"http://127.0.0.1:{server.port}/ok.jpg")
    assert outcome.reason is Reason.bad_port


def test_a_mapped_name_leads_to_its_address_alone(server: HostileServer, unused_port: int) -> None:
    with pytest.raises(ForbiddenAddressError):
        mapped_socket({("127.0.0.1", 80)}, (socket.AF_INET, 1, 6, "", ("127.0.0.1", unused_port)))


def test_who_accepts_no_connection_is_unreached() -> None:
    """A full backlog drops packets, as a firewall does."""
    with socket.socket() as listener, contextlib.ExitStack() as stack:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))

        async def run() -> Outcome:
            async with Client(LIMITS, "spatialgen/test", {HOST: ("127.0.0.1", port)}) as client:
                return await client.fetch(f"http://{HOST}/ok.jpg")

        outcome = asyncio.run(run())
    assert outcome.reason is Reason.connection, outcome.error
    assert "without a connection" in str(outcome.error)


def test_an_endless_body_is_cut_off_at_the_limit(server: HostileServer) -> None:
    server.sent = 0
    fetch(server, f"http://{HOST}/endless.jpg")
    assert server.sent < 8 * LIMITS.max_bytes, "what sockets buffer comes on top"


def test_a_bomb_takes_no_memory(server: HostileServer) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fetch(server, f"http://{HOST}/gzip-bomb.jpg")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000, "kB, of 300 MB"


def test_retry_after_is_read_in_both_forms(server: HostileServer) -> None:
    seconds, date, none = fetch(server, *(f"http://{HOST}/{n}.jpg" for n in (429, 503, 500)))
    assert (seconds.retry_after, date.retry_after, none.retry_after) == (1.0, 0.0, None)


def test_cookies_are_not_kept_and_we_say_who_we_are(server: HostileServer) -> None:
    server.headers.clear()
    fetch(server, *[f"http://{HOST}/cookies.jpg"] * 2)
    assert len(server.headers) == 2
    for head in server.headers:
        assert "Cookie" not in head
        assert "User-Agent: spatialgen/test (tests@example.org)" in head
        assert "Accept-Encoding: identity" in head
        assert f"Host: {HOST}" in head


def test_connections_are_kept(server: HostileServer) -> None:
    outcomes = fetch(server, *[f"http://{HOST}/ok.jpg"] * 3, f"http://{HOST}/404.jpg")
    assert [outcome.http_status for outcome in outcomes] == [200, 200, 200, 404]


def test_nobody_listens(server: HostileServer, unused_port: int) -> None:
    async def run() -> Outcome:
        async with Client(LIMITS, "spatialgen/test", {HOST: ("127.0.0.1", unused_port)}) as client:
            return await client.fetch(f"http://{HOST}/ok.jpg")

    assert asyncio.run(run()).reason is Reason.connection


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
def test_a_certificate_must_be_one(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={HOST}"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*command, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with hostile_server(context) as running:
        (outcome,) = fetch(running, f"https://{HOST}/ok.jpg")
    assert outcome.reason is Reason.tls
    assert "certificate" in str(outcome.error).lower()


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


ROBOTS = b"""User-agent: otherbot
Disallow: /

User-agent: *
Disallow: /%E5%9B%BE%E7%89%87/
Disallow: /lying
"""


def with_robots(server: HostileServer, *paths: str) -> list[Outcome]:
    async def run() -> list[Outcome]:
        target = {HOST: ("127.0.0.1", server.port)}
        async with Client(LIMITS, "spatialgen/test", target, robots=True) as client:
            urls = [f"http://{HOST}{path}" for path in paths]
            return list(await asyncio.gather(*map(client.fetch, urls)))

    return asyncio.run(run())


def test_robots_txt_is_read_once_and_obeyed_also_after_a_redirect() -> None:
    with hostile_server() as server:
        server.replies["/robots.txt"] = page(ROBOTS, X_Robots_Tag="noindex")
        server.replies["/to-lying"] = redirect("/lying.jpg")
        found = with_robots(server, "/ok.jpg", "/图片/中文.jpg", "/lying.jpg", "/to-lying")
        assert [outcome.reason for outcome in found] == [None, *[Reason.robots] * 3]
        assert server.requests["/robots.txt"] == 1
        assert server.requests["/lying.jpg"] == 0


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (status("404 Not Found"), None),
        (status("403 Forbidden"), None),
        (page(b"<html>no rules</html>"), None),
        (page(b""), None),
        (page(b"\xff\xfe\0\0" * 50), None),
        (redirect("/ok.jpg"), None),
        (status("503 Busy"), Reason.server_error),
        (hang, Reason.timeout),
    ],
)
def test_without_rules_all_is_allowed_but_trouble_is_no_permission(
    reply: Reply, reason: Reason | None
) -> None:
    with hostile_server() as server:
        server.replies["/robots.txt"] = reply
        found = with_robots(server, "/ok.jpg", "/lying.jpg")
        assert [outcome.reason for outcome in found] == [reason, reason]
