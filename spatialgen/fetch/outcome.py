"""What one request brought."""

from dataclasses import dataclass

from spatialgen.fetch.pictures import Picture
from spatialgen.fetch.reasons import Reason

ERROR_CHARACTERS = 300


@dataclass(slots=True)
class Outcome:
    """What one request brought: a picture (`reason` is None), or why there is none."""

    reason: Reason | None = None
    error: str | None = None  # `reason` with its particulars
    http_status: int | None = None
    data: bytes | None = None
    picture: Picture | None = None
    sha256: str | None = None  # of data, hex
    n_bytes: int | None = None  # read; of a too large answer: the limit it exceeds
    retry_after: float | None = None  # s, as the server asks


def failure(reason: Reason, why: str, http_status: int | None = None) -> Outcome:
    """An outcome without a picture."""
    error = f"{reason}: {' '.join(why.split())}".removesuffix(": ")
    return Outcome(reason=reason, error=error[:ERROR_CHARACTERS], http_status=http_status)
