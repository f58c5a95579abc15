"""Pictures that tell what they were drawn of, folders to compare, and an export that is killed:

python -m tests.suites.painting PROMPTS FOLDER PICTURES   # dies while it writes this picture
"""

import os
import random
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
from PIL import Image

from spatialgen.suites.catalogue import suite_of
from spatialgen.suites.export import export
from spatialgen.suites.suite import Prompt
from tests.conftest import DATA

SETTINGS = {"adapter": "adapter@1", "base": "kolors@2", "seed": 7, "steps": 4, "guidance": 5.0}


@dataclass
class Painter:
    """Draws a small picture of each text, names and seed, and remembers what it was asked for."""

    size: tuple[int, int] = (8, 8)
    fails_after: int | None = None  # batches
    batches: list[list[str]] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)

    def __call__(self, prompts: list[Prompt], seeds: list[int]) -> Sequence[Image.Image]:
        if len(self.batches) == self.fails_after:
            raise RuntimeError("the device is gone")
        self.batches.append([prompt.text for prompt in prompts])
        self.prompts += prompts
        return [self.draw(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]

    def draw(self, prompt: Prompt, seed: int) -> Image.Image:
        noise = random.Random(f"{prompt.text}{[each.name for each in prompt.layout]}{seed}")
        return Image.frombytes("RGB", self.size, noise.randbytes(3 * self.size[0] * self.size[1]))


def files_of(folder: Path) -> dict[str, bytes]:
    """Every file below the folder, hidden ones too."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def pictures_of(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in files_of(folder).items() if name.endswith(".png")}


def real(name: str) -> Path:
    """A file of prompts as the suite published it."""
    path = DATA / "prompts" / name
    if not path.exists():
        pytest.skip(f"no {path}; set SPATIALGEN_TEST_DATA")
    return path


class _Torn:
    """A picture whose writing is cut off by SIGKILL."""

    def save(self, path: Path, format: str) -> None:
        path.write_bytes(b"\x89PNG")
        os.kill(os.getpid(), signal.SIGKILL)


def _export_and_die(path: Path, folder: Path, place: int) -> None:
    painter, drawn = Painter(), 0

    def draw(prompts: list[Prompt], seeds: list[int]) -> list[Image.Image]:
        nonlocal drawn
        pictures = list(painter(prompts, seeds))
        if drawn <= place < drawn + len(pictures):
            pictures[place - drawn] = cast(Image.Image, _Torn())
        drawn += len(pictures)
        return pictures

    suite = suite_of("t2i_compbench")
    export(suite, suite.read(path), folder, draw, settings=SETTINGS, samples=2, batch=4, quiet=True)


if __name__ == "__main__":
    _export_and_die(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
