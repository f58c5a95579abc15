"""One request: what was asked, what came back, and what it means."""

import asyncio
import contextlib
import hashlib
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from spatialgen.fetch.addresses import (
    ForbiddenAddressError,
    Mapped,
    mapped_socket,
    public_socket,
)
from spatialgen.fetch.clock import Deadline, PatientClock
from spatialgen.fetch.headers import is_delimited, opt_out, retry_after, unpack
from spatialgen.fetch.outcome import Outcome, failure
from spatialgen.fetch.pictures import UnfitPictureError, inspect
from spatialgen.fetch.reasons import Reason, of_status
from spatialgen.fetch.robots import Robots
from spatialgen.fetch.urls import UnfitURLError, parse_url

MAX_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
SMALL_BODY = 65_536  # bytes of an error page worth reading to keep its connection
DRAIN_S = 1.0  # for such a page
DNS_SECONDS, DNS_NAMES = 600, 100_000
LOOKUPS = 64  # names at once
LARGE_BODY, LARGE_BYTES = 1 << 20, 256 << 20  # a large body, and memory for all of them together
DEADLINE: ContextVar[Deadline] = ContextVar("deadline")  # of the request that a task makes
NO_SUCH_NAME = {1, 4}  # c-ares: ENODATA, ENOTFOUND


Judge = Callable[[aiohttp.ClientResponse, bytes], Outcome]  # what a complete body is


@dataclass(frozen=True)
class Limits:
    """What a request may take."""

    max_bytes: int
    total_s: float  # from the first connection to the last byte, redirects included
    connect_s: float
    read_s: float  # between two reads


class Client:
    """Sessions without cookies, proxies or trust in names; an async context manager."""

    def __init__(
        self,
        limits: Limits,
        user_agent: str,
        connect_to: Mapping[str, tuple[str, int]],
        *,
        robots: bool = False,
    ) -> None:
        self.limits = limits
        self.robots = Robots(self._read_rules, user_agent) if robots else None
        self.user_agent = user_agent
        self.connect_to = connect_to
        self.clock = PatientClock()
        self._deadlines: set[Deadline] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "Client":
        # Large bodies in memory at once; who waits for a place has only read LARGE_BODY so far.
        self._large = asyncio.Semaphore(max(LARGE_BYTES // self.limits.max_bytes, 1))
        watch = asyncio.create_task(self._watch())
        self._stack.callback(watch.cancel)
        context = ssl.create_default_context()  # one for all: it costs 25 ms to make
        resolver = Resolver()
        self._stack.push_async_callback(resolver.close)
        public = _Connector(
            self.limits,
            limit=0,  # the crawl has its own limits; waiting here would count as the server's time
            ssl=context,
            resolver=resolver,
            ttl_dns_cache=DNS_SECONDS,
            dns_cache_max_size=DNS_NAMES,
            socket_factory=_public_socket,
        )
        self._public = await self._session(public)
        mapped = _Connector(
            self.limits,
            limit=0,
            ssl=context,
            resolver=Mapped(self.connect_to),
            socket_factory=partial(mapped_socket, set(self.connect_to.values())),
        )
        self._mapped = await self._session(mapped)
        return self

    async def _session(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        return await self._stack.enter_async_context(
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,  # a proxy would connect where we may not
                auto_decompress=False,  # a gzip bomb would be unpacked without a limit
                headers={
                    "User-Agent": self.user_agent,
                    "Accept": "image/*,*/*;q=0.5",
                    "Accept-Encoding": "identity",
                },
                timeout=aiohttp.ClientTimeout(total=None),  # deadlines are ours: see clock.py
            )
        )

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def fetch(self, text: str) -> Outcome:
        """Ask for the picture at `text`, once. Whatever goes wrong is an outcome."""
        return await self._attempt(text, _judge)

    async def _read_rules(self, url: URL) -> Outcome:
        """A robots.txt, as the outcome's data."""
        return await self._attempt(str(url), _as_it_is, obey=False)

    async def _attempt(self, text: str, judge: Judge, *, obey: bool = True) -> Outcome:
        deadline = Deadline(self.clock, self.limits.total_s)
        DEADLINE.set(deadline)
        self._deadlines.add(deadline)
        try:
            return await self._follow(parse_url(text), judge, obey=obey)
        except UnfitURLError as error:
            return failure(error.reason, str(error))
        except asyncio.CancelledError:
            if not deadline.caught():
                raise
            reason = Reason.connection if deadline.connecting else Reason.timeout
            return failure(reason, deadline.expired or "")
        except (aiohttp.ClientError, OSError, ssl.SSLError, ValueError) as error:
            if deadline.forbidden and not deadline.permitted:
                return failure(Reason.forbidden_address, "no address of its host is public")
            return failure(reason_of(error), f"{type(error).__name__}: {error}")
        finally:
            self._deadlines.discard(deadline)

    async def _watch(self) -> None:
        while True:
            await self.clock.tick()
            now = self.clock.now()
            for deadline in list(self._deadlines):
                deadline.check(now)

    async def _follow(self, url: URL, judge: Judge, *, obey: bool) -> Outcome:
        """Ask for `url`, and wherever it redirects to."""
        for _ in range(MAX_REDIRECTS + 1):
            if obey and self.robots and (refusal := await self._refusal(url)):
                return refusal
            session = self._mapped if url.raw_host in self.connect_to else self._public
            async with session.get(url, allow_redirects=False) as response:
                if response.status not in REDIRECTS:
                    return await self._read(response, judge, obey=obey)
                status, target = response.status, response.headers.get("Location", "")
                await _drain(response)
            try:
                url = parse_url(urljoin(str(url), target))
            except (UnfitURLError, ValueError) as error:
                reason = getattr(error, "reason", Reason.redirects)
                reason = Reason.redirects if reason is Reason.bad_url else reason
                return failure(reason, f"redirected to {target[:200]!r}: {error}", status)
        return failure(Reason.redirects, f"more than {MAX_REDIRECTS}", status)

    async def _refusal(self, url: URL) -> Outcome | None:
        deadline = DEADLINE.get()
        left = deadline.pause()  # the rules have a deadline of their own
        refusal = await self.robots.refusal(url) if self.robots else None
        deadline.resume(left)
        return refusal

    async def _read(self, response: aiohttp.ClientResponse, judge: Judge, *, obey: bool) -> Outcome:
        status = response.status
        if status != 200:
            await _drain(response)
            outcome = failure(of_status(status), f"{status} {response.reason or ''}", status)
            outcome.retry_after = retry_after(response)
            return outcome
        if obey and (directive := opt_out(response, self.user_agent)):
            return failure(Reason.opt_out, directive, status)
        limit = self.limits.max_bytes
        if (response.content_length or 0) > limit:
            return self._too_large(f"{response.content_length} bytes announced")
        async with AsyncExitStack() as place:
            data = await self._body(response, place)
        if data is None:
            return self._too_large("cut off")
        coding = response.headers.get("Content-Encoding", "identity").strip().lower()
        try:
            data = unpack(data, coding, limit)
        except OverflowError:
            return self._too_large(f"unpacked from {len(data)} bytes of {coding}")
        except EOFError:
            return failure(Reason.truncated, f"{coding} without its end", status)
        return judge(response, data)

    async def _body(self, response: aiohttp.ClientResponse, place: AsyncExitStack) -> bytes | None:
        """All of the body, or None where it exceeds the limit; `place` is among the large ones."""
        deadline = DEADLINE.get()
        parts, size, is_large = [], 0, False
        async for part in response.content.iter_any():
            parts.append(part)
            size += len(part)
            if size > self.limits.max_bytes:
                return None
            if size > LARGE_BODY and not is_large:
                left = deadline.pause()
                await place.enter_async_context(self._large)
                deadline.resume(left)
                is_large = True
            deadline.step("without a byte", self.limits.read_s)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _too_large(self, why: str) -> Outcome:
        limit = self.limits.max_bytes
        outcome = failure(Reason.too_large, f"more than {limit} bytes, {why}", 200)
        outcome.n_bytes = limit
        return outcome


class _Connector(aiohttp.TCPConnector):
    """Tells the request's deadline when a connection is being made, and when it stands."""

    def __init__(self, limits: Limits, **options: Any) -> None:
        super().__init__(**options)
        self.limits = limits

    async def connect(self, *request: Any, **options: Any) -> Any:
        """A connection, new or used before."""
        deadline = DEADLINE.get()
        deadline.forbidden = deadline.permitted = 0
        deadline.step("without a connection", self.limits.connect_s, connecting=True)
        connection = await super().connect(*request, **options)
        deadline.step("without a byte", self.limits.read_s)
        return connection


class Resolver(aiohttp.AsyncResolver):
    """Asks the name server a bounded number of questions at once: more of them only fail."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._places = asyncio.Semaphore(LOOKUPS)

    async def resolve(self, *name: Any, **options: Any) -> Any:
        """The addresses of a name; waiting for a place is our time, not the server's."""
        deadline = DEADLINE.get()
        left = deadline.pause()
        async with self._places:
            deadline.resume(left)
            return await super().resolve(*name, **options)


def _public_socket(address: tuple[Any, ...]) -> socket.socket:
    """A public socket; the request's deadline counts what was tried."""
    deadline = DEADLINE.get()
    try:
        made = public_socket(address)
    except ForbiddenAddressError:
        deadline.forbidden += 1
        raise
    deadline.permitted += 1
    return made


def _as_it_is(response: aiohttp.ClientResponse, data: bytes) -> Outcome:
    return Outcome(http_status=200, data=data)


def _judge(response: aiohttp.ClientResponse, data: bytes) -> Outcome:
    """What a complete body is."""
    try:
        picture = inspect(data)
    except UnfitPictureError as error:
        reason = error.reason
        if reason is Reason.damaged and not is_delimited(response):
            reason = Reason.truncated  # the connection's end was the only sign that this is all
        outcome = failure(reason, str(error), 200)
    else:
        digest = hashlib.sha256(data).hexdigest()
        outcome = Outcome(http_status=200, data=data, picture=picture, sha256=digest)
    outcome.n_bytes = len(data)
    return outcome


def reason_of(error: BaseException) -> Reason:
    """The reason behind an exception of aiohttp or the socket."""
    chain = [error]
    while following := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(following)
    if isinstance(error, aiohttp.ClientConnectorDNSError | socket.gaierror):
        codes = {argument for e in chain for argument in e.args if isinstance(argument, int)}
        return Reason.no_such_host if codes & NO_SUCH_NAME else Reason.dns
    if isinstance(error, aiohttp.ClientSSLError | ssl.SSLError):
        return Reason.tls
    if isinstance(error, aiohttp.ClientPayloadError):
        return Reason.truncated
    if isinstance(error, aiohttp.InvalidURL):
        return Reason.bad_url
    if isinstance(error, aiohttp.ClientResponseError):
        return Reason.http_error  # no HTTP that anyone understands
    if isinstance(error, aiohttp.ClientConnectionError | OSError):
        return Reason.connection
    return Reason.http_error


async def _drain(response: aiohttp.ClientResponse) -> None:
    if response.content_length is not None and response.content_length <= SMALL_BODY:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                await response.read()
