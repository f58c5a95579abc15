"""The picture files that a JSONL names: where they may be, and what is in them."""

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from spatialgen.exchange.lines import Unfit, UnfitLineError
from spatialgen.fetch.pictures import Picture, UnfitPictureError, inspect
from spatialgen.fetch.reasons import Reason


@dataclass(frozen=True, slots=True)
class PictureFile:
    """A file that looks like a picture to its end."""

    content: bytes
    sha256: str  # hex
    picture: Picture


def read_picture(image_path: str, folder: Path, max_bytes: int) -> PictureFile:
    """The picture at `image_path`, relative to `folder` (which has no links in it) or absolute.

    UnfitLineError where it leaves the folder, where the file is a link or no ordinary file, or
    where the downloader would not take it.
    """
    content = _read(_locate(image_path, folder), max_bytes)
    try:
        picture = inspect(content)
    except UnfitPictureError as error:
        raise UnfitLineError(error.reason, f"{image_path}: {error}") from None
    return PictureFile(content, hashlib.sha256(content).hexdigest(), picture)


def _locate(image_path: str, folder: Path) -> str:
    if os.path.isabs(image_path):
        return image_path
    path = os.path.normpath(folder / image_path)
    if not path.startswith(os.path.join(folder, "")):
        raise UnfitLineError(Unfit.outside, f"{image_path} is outside of {folder}")
    try:
        real = os.path.realpath(path)
    except ValueError as error:  # a zero byte
        raise UnfitLineError(Unfit.no_file, f"{image_path!r}: {error}") from None
    if real != path:
        raise UnfitLineError(
            Unfit.no_file, f"{image_path} is a link, or below one; give the file's absolute path"
        )
    return path


def _read(path: str, max_bytes: int) -> bytes:
    try:
        # Not waiting for a pipe's other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            return _content(descriptor, path, max_bytes)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UnfitLineError(Unfit.no_file, f"{path!r}: {error.strerror}") from None
    except UnfitLineError:
        raise
    except ValueError as error:  # a zero byte
        raise UnfitLineError(Unfit.no_file, f"{path!r}: {error}") from None


def _content(descriptor: int, path: str, max_bytes: int) -> bytes:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise UnfitLineError(Unfit.no_file, f"{path} is no ordinary file")
    if found.st_size > max_bytes:
        raise UnfitLineError(
            Reason.too_large,
            f"{path} has {found.st_size} bytes, more than download.max_bytes = {max_bytes}",
        )
    with open(descriptor, "rb", closefd=False) as file:
        return file.read()
