"""What made a picture, kept in the picture: adapter, base, tables, seed; and the rows behind it."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from spatialgen.errors import InputError, LakeError
from spatialgen.lake.history import git
from spatialgen.lake.lake import Lake
from spatialgen.lake.manifest import Manifest
from spatialgen.training.rows import CHOSEN

KEY = "spatialgen"  # of the PNG's text
ROWS = """\
select row_id, url, caption
from ({chosen}) join captions using (row_id)
order by row_id"""


def save_picture(picture: Image.Image, path: Path, about: Mapping[str, Any]) -> None:
    """Write a PNG that says what made it; InputError where `path` is no .png."""
    if path.suffix.lower() != ".png":
        raise InputError(f"{path} cannot hold what made the picture; name a .png file")
    text = PngInfo()
    text.add_itxt(KEY, json.dumps(about, ensure_ascii=False))
    try:
        picture.save(path, pnginfo=text)
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror}); name another") from None


def read_about(path: Path) -> dict[str, Any]:
    """What a picture says of itself; InputError where it says nothing."""
    try:
        with Image.open(path) as picture:
            text = picture.info.get(KEY)
        about = json.loads(text) if text else None
    except (OSError, ValueError) as error:
        said = " ".join(str(error).split())
        raise InputError(
            f"{path} is no picture ({said}); name one of spatialgen generate"
        ) from None
    if not isinstance(about, dict):
        raise InputError(f"{path} does not say what made it; name a PNG of spatialgen generate")
    return about


def rows_query(origin: Mapping[str, Any]) -> str:
    """SQL that lists the rows whose boxes trained what has this origin; those whose picture could
    not be encoded are among them."""
    chosen = CHOSEN.format(condition=origin["where"].strip())
    return ROWS.format(chosen=chosen.strip().replace("$split", f"'{origin['split']}'"))


def rows_command(lake: Lake, origin: Mapping[str, Any]) -> str:
    """The command that lists them here: of the workspace where it holds the very tables, else of
    the revision that does; LakeError where no commit knows them."""
    command = f"spatialgen sql {shlex.quote(rows_query(origin))}"
    wanted = {name: origin["tables"][name] for name in ("boxes", "captions", "splits")}
    if _digests(lake) | wanted == _digests(lake):
        return command
    return f"{command} --at {find_revision(lake, wanted)}"


def find_revision(lake: Lake, tables: Mapping[str, str]) -> str:
    """The last commit, of any branch or experiment, whose tables have these digests."""
    project = lake.root.absolute().parent
    paths = [f"{lake.root.name}/{name}.json" for name in tables]
    for commit in git(project, "log", "--all", "--format=%h", "--", *paths).split():
        if all(_digest_at(project, commit, path) == digest
               for path, digest in zip(paths, tables.values(), strict=True)):  # fmt: skip
            return commit
    shown = ", ".join(f"{name} {digest[:12]}" for name, digest in tables.items())
    raise LakeError(
        f"no commit here has the tables {shown}; fetch the branch or experiment that has them"
    )


def _digests(lake: Lake) -> dict[str, str]:
    return {name: lake[name].manifest.digest for name in ("boxes", "captions", "splits")}


def _digest_at(project: Path, commit: str, path: str) -> str | None:
    try:
        return Manifest.parse(git(project, "show", f"{commit}:./{path}"), path).digest
    except LakeError:
        return None
