"""Files and folders that appear under their name when they are complete, and not before.

They grow under a scratch name beside it; a kill leaves that and nothing else.
"""

import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from spatialgen.errors import InputError
from spatialgen.lake.links import scratch_beside

PICTURE = re.compile(r"[0-9a-f]{2}/[0-9a-f]{64}\.\w+")


@contextmanager
def new_file(file: Path, *, force: bool) -> Iterator[Path]:
    """A scratch file that becomes `file` at the end of the block; one that is there is replaced
    only with `force`. InputError where it may not be written.
    """
    if file.exists() and not file.is_file():
        raise InputError(f"{file} is no ordinary file; name one that may be written")
    if file.exists() and not force:
        raise InputError(f"{file} exists; remove it, or replace it with --force")
    scratch = scratch_beside(file)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        scratch.touch()
    except OSError as error:
        raise InputError(
            f"{file} cannot be written ({error.strerror}); name another file"
        ) from None
    try:
        yield scratch
        scratch.replace(file)
    finally:
        scratch.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path, contents: Collection[str], *, force: bool) -> Iterator[Path]:
    """A scratch folder that becomes `folder` at the end of the block; one that holds anything is
    replaced only with `force`, and only if nothing but `contents` is in it. InputError where it may
    not be written.
    """
    folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is no folder; name another")
    names = sorted(os.listdir(folder)) if folder.exists() else []
    if names and not force:
        raise InputError(f"{folder} exists and is not empty; remove it, or replace it with --force")
    if foreign := [name for name in names if not _is_ours(folder / name, contents)]:
        raise InputError(
            f"{folder} holds {foreign[0]}, which this command did not write, and is not replaced; "
            "name another folder"
        )
    scratch = scratch_beside(folder)
    try:
        scratch.mkdir(parents=True)
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}); name another folder"
        ) from None
    try:
        yield scratch
        _take_place(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _is_ours(path: Path, contents: Collection[str]) -> bool:
    """Whether this is one of `contents`; of a folder, whether pictures under their digests are all
    that it holds."""
    if path.name not in contents:
        return False
    files = [each for each in path.rglob("*") if not each.is_dir()] if path.is_dir() else []
    return all(PICTURE.fullmatch(each.relative_to(path).as_posix()) for each in files)


def _take_place(scratch: Path, folder: Path) -> None:
    before = scratch_beside(folder)
    try:
        if folder.exists():
            folder.rename(before)
        scratch.rename(folder)
    except OSError as error:  # a mount point
        raise InputError(
            f"{folder} cannot be replaced ({error.strerror}); name a folder inside it"
        ) from None
    shutil.rmtree(before, ignore_errors=True)
