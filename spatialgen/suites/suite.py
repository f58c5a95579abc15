"""What a benchmark is here: prompts read from its own files, and where its evaluator looks for the
pictures of each."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from PIL import Image

from spatialgen.errors import InputError
from spatialgen.lake.ids import h64
from spatialgen.layouts import Layout

SEEDS = 2**32  # what every generator of random numbers takes


@dataclass(frozen=True)
class Prompt:
    """A prompt of a suite."""

    number: int  # in its suite; in the names of its pictures
    text: str  # what is painted
    original: str  # what the evaluator reads; another text only where it was translated
    layout: Layout = ()  # only where the suite gives boxes
    row: Mapping[str, Any] = field(default_factory=dict)  # the suite's own record, unchanged

    def seeds(self, seed: int, samples: int) -> tuple[int, ...]:
        """A seed in 0..2^32 for each of its pictures: the same whichever prompts are beside it, and
        in whichever language it is painted."""
        return tuple(
            h64(str(seed), str(self.number), str(sample)) % SEEDS for sample in range(samples)
        )


class Suite(ABC):
    """A benchmark: its files, and the folder that its evaluator reads."""

    name: ClassVar[str]
    samples: ClassVar[int]  # pictures of a prompt by its own rules
    remedy: ClassVar[str]  # where its files come from

    @abstractmethod
    def read(self, path: Path) -> list[Prompt]:
        """The prompts of its file; InputError with the place where it is damaged."""

    @abstractmethod
    def picture(self, prompt: Prompt, sample: int, samples: int) -> PurePosixPath:
        """Where a prompt's picture of this number, from 0 and of `samples`, is in the folder."""

    @abstractmethod
    def command(self, folder: Path) -> str:
        """What to run next, for a shell inside the benchmark's repository."""

    def check(self, prompts: Sequence[Prompt]) -> None:  # noqa: B027  # most take any
        """InputError where the evaluator would fail on these prompts."""

    def write(self, prompts: Sequence[Prompt], folder: Path) -> None:  # noqa: B027  # some need none
        """Write what the evaluator reads besides the pictures."""

    def fit(self, picture: Image.Image) -> Image.Image:
        """The picture as the evaluator wants it; InputError where it cannot be."""
        return picture


def read_text(path: Path, remedy: str) -> str:
    """The text of a file without blank lines at its end; InputError where there is none."""
    try:
        text = path.read_text(encoding="utf-8-sig").rstrip()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); {remedy}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no UTF-8 text ({error}); {remedy}") from None
    if not text:
        raise InputError(f"{path} is empty; {remedy}")
    return text


def read_json(path: Path, remedy: str) -> Any:
    """The value in a JSON file; InputError where it holds none."""
    try:
        return json.loads(read_text(path, remedy))
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path} is no JSON ({error}); {remedy}") from None


@contextmanager
def blame(place: str, remedy: str) -> Iterator[None]:
    """Make what goes wrong with a record in the block an InputError that names its place."""
    try:
        yield
    except KeyError as error:
        raise InputError(f"{place} has no {error}; {remedy}") from None
    except (TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        raise InputError(f"{place} is damaged ({error}); {remedy}") from None


def text_of(row: Mapping[str, Any], key: str) -> str:
    """A value that has to be text, without space around it; ValueError where it is not."""
    value = row[key]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{key} is {value!r} and no text")
    value.encode()  # "\ud800" is half a character
    return value.strip()


def write_text(path: Path, text: str) -> None:
    """Write a file that is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
