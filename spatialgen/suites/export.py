"""A benchmark's folder: what its evaluator reads, and besides

    spatialgen.json  what the pictures depend on; held by the run that paints here
    prompts.jsonl    number, text, original and objects of each prompt; its pictures' paths, seeds

A picture is there as a whole or not at all, so a run that was killed goes on where it was.
"""

import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from PIL import Image
from tqdm import tqdm

from spatialgen.errors import InputError, LakeError
from spatialgen.lake.ids import fingerprint
from spatialgen.suites.suite import Prompt, Suite, write_text

SETTINGS, PROMPTS = "spatialgen.json", "prompts.jsonl"
PART = ".picture.part"  # in no folder that an evaluator lists
Draw = Callable[[list[Prompt], list[int]], Sequence[Image.Image]]
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Exported:
    """What a folder holds, and what to do with it."""

    pictures: int
    painted: int  # of them, by this run
    command: str  # the evaluator's, for a shell inside the benchmark's repository


@dataclass(frozen=True)
class _Job:
    """A picture to be there."""

    prompt: Prompt
    seed: int
    path: Path


def export(
    suite: Suite,
    prompts: Sequence[Prompt],
    folder: Path,
    draw: Draw,
    *,
    settings: Settings,
    samples: int | None = None,
    batch: int = 8,
    quiet: bool = False,
) -> Exported:
    """Paint `samples` pictures (the suite's number by default) of each prompt into `folder`.

    `draw` makes a picture for each of up to `batch` prompts and seeds: of its `text` and, where it
    has one, its `layout`. `settings` is what else the pictures depend on, in JSON's types; its
    `seed` is the one that theirs come from.

    What is there is not painted again, but for a batch that a kill broke off: it is drawn as a
    whole, for its pictures to be those of a run without a kill. InputError where the folder is of
    other settings, or none of ours; LakeError while another run paints in it.
    """
    if batch < 1:
        raise InputError(f"batch is {batch}; draw at least one picture at once")
    with _prepared(suite, prompts, folder, settings, samples) as jobs:
        painted = _paint(suite, jobs, folder, draw, batch, quiet=quiet)
    return Exported(len(jobs), painted, suite.command(folder.resolve()))


def export_prompts(
    suite: Suite,
    prompts: Sequence[Prompt],
    folder: Path,
    *,
    settings: Settings,
    samples: int | None = None,
) -> Exported:
    """Write the same folder without pictures, for them to be painted elsewhere: prompts.jsonl says
    where each belongs. `export` with the same settings fills it."""
    with _prepared(suite, prompts, folder, settings, samples) as jobs:
        there = sum(job.path.exists() for job in jobs)
    return Exported(there, 0, suite.command(folder.resolve()))


@contextmanager
def _prepared(
    suite: Suite, prompts: Sequence[Prompt], folder: Path, settings: Settings, samples: int | None
) -> Iterator[list[_Job]]:
    """Be the only run in the folder, with all written that is no picture; the pictures to come."""
    samples = suite.samples if samples is None else samples
    if samples < 1 or not prompts:
        raise InputError(f"{samples} pictures of {len(prompts)} prompts are none; ask for some")
    suite.check(prompts)
    jobs = [
        _Job(prompt, seed, folder / suite.picture(prompt, sample, samples))
        for prompt in prompts
        for sample, seed in enumerate(prompt.seeds(settings["seed"], samples))
    ]
    told = [_told(prompt) for prompt in prompts]
    asked = {
        "suite": suite.name,
        "samples": samples,
        **settings,
        "translated": any(prompt.text != prompt.original for prompt in prompts),
        "prompts": fingerprint(prompts=told),
    }
    with _held(folder, json.loads(json.dumps(asked))):
        suite.write(prompts, folder)
        _write_prompts(told, jobs, folder)
        yield jobs


def _told(prompt: Prompt) -> dict[str, Any]:
    return {
        "number": prompt.number,
        "text": prompt.text,
        "original": prompt.original,
        "objects": [{"name": each.name, "bbox": each.bbox} for each in prompt.layout],
    }


def _write_prompts(told: Sequence[Settings], jobs: Sequence[_Job], folder: Path) -> None:
    samples = len(jobs) // len(told)
    lines = []
    for place, values in enumerate(told):
        own = jobs[place * samples : (place + 1) * samples]
        pictures = [
            {"path": job.path.relative_to(folder).as_posix(), "seed": job.seed} for job in own
        ]
        lines.append(json.dumps({**values, "pictures": pictures}, ensure_ascii=False) + "\n")
    write_text(folder / PROMPTS, "".join(lines))


@contextmanager
def _held(folder: Path, asked: Settings) -> Iterator[None]:
    """Be the only run in the folder, which is new or of these settings."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = sorted(os.listdir(folder))
        if names and SETTINGS not in names:
            raise InputError(f"{folder} holds {names[0]} and no {SETTINGS}; name another folder")
        file = (folder / SETTINGS).open("a+", encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{folder} cannot be written ({error.strerror}); name another folder"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LakeError(
                f"another run paints in {folder} now; let it end, then repeat this one"
            ) from None
        _take(file, folder, asked)
        yield


def _take(file: IO[str], folder: Path, asked: Settings) -> None:
    """Write the settings, or compare them to those that are there."""
    file.seek(0)
    try:
        written = file.read()
        found = dict(json.loads(written or "{}"))
    except (ValueError, TypeError):
        raise InputError(f"{folder / SETTINGS} is damaged; remove {folder} to begin anew") from None
    if not written:
        file.write(json.dumps(asked, ensure_ascii=False, indent=2) + "\n")
        file.flush()
        return
    for name in (*asked, *found):
        if found.get(name) != asked.get(name):
            raise InputError(
                f"{folder} is of {name} = {found.get(name)}, and {asked.get(name)} is asked for; "
                "name another folder, or remove it to begin anew"
            )


def _paint(
    suite: Suite, jobs: Sequence[_Job], folder: Path, draw: Draw, batch: int, *, quiet: bool
) -> int:
    """Draw what is not there, batch by batch; how many pictures that were."""
    there = sum(job.path.exists() for job in jobs)
    bar = tqdm(
        total=len(jobs),
        initial=there,
        unit="picture",
        disable=quiet,
        mininterval=0.2 if sys.stderr.isatty() else 30,
    )
    with bar:
        for first in range(0, len(jobs), batch):
            together = jobs[first : first + batch]
            if all(job.path.exists() for job in together):
                continue
            pictures = draw([job.prompt for job in together], [job.seed for job in together])
            for job, picture in zip(together, pictures, strict=True):
                if not job.path.exists():
                    _save(suite.fit(picture), job.path, folder / PART)
                    bar.update()
    return len(jobs) - there


def _save(picture: Image.Image, path: Path, part: Path) -> None:
    """Write a picture that is there as a whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        picture.save(part, format="PNG")
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
