"""What can become of a URL: a closed list, so that failures can be counted and compared."""

from enum import StrEnum

from spatialgen.rows.batcher import PERMANENT, TRANSIENT


class Reason(StrEnum):
    """Why there is no picture.

    The row is the URL's fault or the picture's (permanent), or may succeed another day (transient:
    asked again when download.attempt is raised).
    """

    bad_url = "bad_url"  # no URL, or longer than MAX_CHARACTERS
    bad_scheme = "bad_scheme"  # neither http nor https
    bad_port = "bad_port"  # neither 80 nor 443
    forbidden_address = "forbidden_address"  # loopback, private, link-local, reserved...
    gone = "gone"  # 404, 410
    forbidden = "forbidden"  # 401, 403, 451: also an expired signature
    http_error = "http_error"  # any other answer that is no success and no server's trouble
    redirects = "redirects"  # too many, or to nowhere
    opt_out = "opt_out"  # X-Robots-Tag or tdm-reservation say no
    robots = "robots"  # robots.txt says no, where download.robots obeys it
    too_large = "too_large"  # more than download.max_bytes
    not_image = "not_image"  # HTML, text, an unknown format
    damaged = "damaged"  # begins like a picture and is none to its end
    too_many_pixels = "too_many_pixels"  # more than download.max_pixels
    too_small = "too_small"  # a side shorter than download.min_side

    no_such_host = "no_such_host"  # transient, for a broken resolver says so of every name
    dns = "dns"  # the resolver failed
    connection = "connection"  # refused, reset, unreachable
    tls = "tls"  # certificate or handshake
    timeout = "timeout"
    truncated = "truncated"  # the connection ended before the body did
    rate_limited = "rate_limited"  # 429
    server_error = "server_error"  # 408, 425, 5xx
    host_down = "host_down"  # given up after many failures of its host
    failed = "failed"  # an error of ours, in `error` in the store

    @property
    def status(self) -> str:
        """`permanent` or `transient`."""
        return TRANSIENT if self in _TRANSIENT else PERMANENT


_TRANSIENT = {
    Reason.no_such_host,
    Reason.dns,
    Reason.connection,
    Reason.tls,
    Reason.timeout,
    Reason.truncated,
    Reason.rate_limited,
    Reason.server_error,
    Reason.host_down,
    Reason.failed,
}
# Worth another try within the run, after a pause.
RETRIED = {
    Reason.dns,
    Reason.connection,
    Reason.timeout,
    Reason.truncated,
    Reason.rate_limited,
    Reason.server_error,
}
# In a row, these say that nobody is at the host. A timeout does not: requests that were made at
# once run out of time at once, whatever the others brought meanwhile.
UNREACHED = {Reason.dns, Reason.connection}


def of_status(http_status: int) -> Reason:
    """The reason of an HTTP status other than 200 and the redirects (RFC 9110, 15)."""
    if http_status in (404, 410):
        return Reason.gone
    if http_status in (401, 403, 451):
        return Reason.forbidden
    if http_status == 429:
        return Reason.rate_limited
    if http_status in (408, 425) or http_status >= 500:
        return Reason.server_error
    return Reason.http_error
