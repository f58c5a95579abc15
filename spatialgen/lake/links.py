"""Folders that share their files: hard links where the file system has them, copies elsewhere."""

import logging
import os
import shutil
import uuid
from pathlib import Path

logger = logging.getLogger(__name__)


def link_file(source: str | Path, target: str | Path) -> None:
    """Make `target` the same file as `source`, or a copy where links are impossible."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError as error:
        logger.warning("copying %s: no hard link to %s (%s)", source, target, error.strerror)
        shutil.copy2(source, target)


def link_tree(source: Path, target: Path) -> None:
    """Replace the folder `target` by one that shares every file of `source`.

    The new one is built beside the old one, so readers see one of them, or none, but no mixture.
    """
    beside = scratch_beside(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, beside, copy_function=link_file)
    if target.exists():
        shutil.rmtree(target)
    beside.rename(target)


def scratch_beside(target: Path) -> Path:
    """A name on the same disk that nobody takes for a table, and that nobody else uses.

    A shared store is written by several machines, so a process id would not do.
    """
    return target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")


def files_under(folder: Path) -> list[Path]:
    """Every regular file below `folder`, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
