"""What an answer's headers say: of its body, its owner's wishes, its server's patience."""

import zlib
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

OPT_OUT = {"noai", "noimageai", "noindex", "noimageindex"}


def is_delimited(response: aiohttp.ClientResponse) -> bool:
    """Whether the response itself says where its body ends."""
    chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
    return chunked or "Content-Length" in response.headers


def unpack(data: bytes, coding: str, limit: int) -> bytes:
    """Undo a Content-Encoding that nobody asked for.

    What is not in that encoding, or in one that is not read, stays: servers say `gzip` of plain
    pictures. Raises OverflowError beyond `limit` bytes, EOFError where the end is missing.
    """
    bits = {"gzip": 31, "x-gzip": 31, "deflate": 15}.get(coding)
    if bits is None:
        return data
    stream = zlib.decompressobj(bits)
    try:
        unpacked = stream.decompress(data, limit + 1)
    except zlib.error:
        return data
    if len(unpacked) > limit:
        raise OverflowError
    if not stream.eof:
        raise EOFError
    return unpacked


def opt_out(response: aiohttp.ClientResponse, user_agent: str) -> str | None:
    """The header that reserves this picture, if one does.

    X-Robots-Tag: noai... for everybody or for our name; TDMRep's tdm-reservation: 1 (W3C community
    group report, 2024).
    """
    if response.headers.get("tdm-reservation", "").strip() == "1":
        return "tdm-reservation: 1"
    us = user_agent.partition("/")[0].strip().lower()
    for value in response.headers.getall("X-Robots-Tag", ()):
        addressed = ""
        for part in value.lower().split(","):
            name, colon, rest = part.partition(":")
            if colon:  # "unavailable_after: date" is a directive, too; what follows it is no name
                addressed = name.strip()
            directive = (rest if colon else part).strip()
            if directive in OPT_OUT and addressed in ("", "*", us):
                return f"X-Robots-Tag: {value.strip()}"
    return None


def retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Seconds until a server wants to be asked again (RFC 9110, 10.2.3)."""
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)
