"""From a URL as the CSV had it to the one that is requested.

Signed URLs (gimg2.baidu.com/image_search/src=http%3A%2F%2F...&sec=...) hold only as they are
written, so what is valid is not touched: percent-encoding stays, and only characters that no URL
may have are encoded.
"""

import re
from urllib.parse import quote

from yarl import URL

from spatialgen.fetch.reasons import Reason

MAX_CHARACTERS = 4096
PORTS = (80, 443)
PARTS = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):(?://(?P<authority>[^/?]*))?(?P<rest>.*)", re.DOTALL
)
HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9a-f:.]+")  # a name (IDNA where it was Chinese), or IPv6
REFERENCE = re.compile(r"&(?:amp|#38|#x26);", re.IGNORECASE)  # copied out of a page's source
VALID = "".join(character for character in map(chr, range(0x21, 0x7F)) if character not in '"<>')


class UnfitURLError(ValueError):
    """A URL that is not requested, and the reason."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def parse_url(text: str) -> URL:
    """The URL to request for `text`; raises UnfitURLError.

    Spaces around it and its #fragment go, `&amp;` becomes `&`, `//host` becomes `https://host`; a
    Chinese host is encoded with IDNA, and whatever else is no ASCII with UTF-8.
    """
    text = text.strip()
    if len(text) > MAX_CHARACTERS:
        raise UnfitURLError(
            Reason.bad_url, f"{len(text)} characters, and {MAX_CHARACTERS} are read"
        )
    text = REFERENCE.sub("&", text)
    if text.startswith("//"):
        text = f"https:{text}"
    parts = PARTS.fullmatch(text.partition("#")[0])
    if parts is None:
        raise UnfitURLError(Reason.bad_url, "no scheme such as https://")
    scheme = parts["scheme"].lower()
    if scheme not in ("http", "https"):
        raise UnfitURLError(Reason.bad_scheme, f"{scheme}: is neither http nor https")
    origin = _origin(f"{scheme}://{parts['authority'] or ''}")
    return URL(f"{origin}{quote(parts['rest'] or '/', safe=VALID)}", encoded=True)


def _origin(text: str) -> str:
    """Scheme, host and port, checked."""
    try:
        url = URL(text)
        host, port = url.raw_host or "", url.port
    except ValueError as error:
        raise UnfitURLError(Reason.bad_url, str(error)) from None
    if not HOST.fullmatch(host):
        raise UnfitURLError(Reason.bad_url, f"{host!r} is no host")
    if url.raw_user is not None or url.raw_password is not None:
        raise UnfitURLError(Reason.bad_url, "a user name before the host")
    if port not in PORTS:
        raise UnfitURLError(Reason.bad_port, f"port {port} is neither 80 nor 443")
    return str(url.origin())


def host_of(text: str) -> str:
    """The host that `text` names, for counting by host; empty where it names none."""
    try:
        return parse_url(text).raw_host or ""
    except UnfitURLError:
        return ""
