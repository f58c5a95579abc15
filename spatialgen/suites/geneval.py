"""GenEval (Ghosh et al., arXiv:2310.11513): 553 prompts, four pictures each.

    00000/metadata.jsonl    the prompt's line of prompts/evaluation_metadata.jsonl
    00000/samples/0000.png  its pictures

evaluation/evaluate_images.py takes every folder whose name is a number, and asserts a GPU.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from spatialgen.suites.suite import Prompt, Suite, blame, read_text, text_of, write_text


class GenEval(Suite):
    """GenEval's folder."""

    name = "geneval"
    samples = 4
    remedy = "take it anew from prompts/evaluation_metadata.jsonl of github.com/djghosh13/geneval"

    def read(self, path: Path) -> list[Prompt]:
        """The prompts of evaluation_metadata.jsonl; their numbers count its lines from 0."""
        prompts = []
        for number, line in enumerate(read_text(path, self.remedy).split("\n")):
            with blame(f"{path}: line {number + 1}", self.remedy):
                row = json.loads(line)
                text = _checked(row)
                prompts.append(Prompt(number, text, text, row=row))
        return prompts

    def picture(self, prompt: Prompt, sample: int, samples: int) -> PurePosixPath:
        """00000/samples/0000.png"""
        return PurePosixPath(f"{prompt.number:05}", "samples", f"{sample:04}.png")

    def write(self, prompts: Sequence[Prompt], folder: Path) -> None:
        """metadata.jsonl of each prompt, and the folder that the evaluator lists beside it."""
        for prompt in prompts:
            own = folder / f"{prompt.number:05}"
            (own / "samples").mkdir(parents=True, exist_ok=True)
            write_text(own / "metadata.jsonl", json.dumps(prompt.row))

    def command(self, folder: Path) -> str:
        """The evaluator, then its summary."""
        place, results = shlex.quote(str(folder)), shlex.quote(str(folder / "results.jsonl"))
        return (
            f"python evaluation/evaluate_images.py {place} --outfile {results} --model-path DIR"
            "  # DIR: of evaluation/download_models.sh\n"
            f"python evaluation/summary_scores.py {results}"
        )


def _checked(row: Mapping[str, Any]) -> str:
    """The prompt of a record that has all that the evaluator reads."""
    text_of(row, "tag")
    wanted = row.get("include", [])
    for place, each in enumerate((*wanted, *row.get("exclude", []))):
        text_of(each, "class")
        if type(each["count"]) is not int:
            raise ValueError(f"count is {each['count']!r} and no whole number")
        if "position" in each:
            relation, target = each["position"]
            if not isinstance(relation, str) or target not in range(place):
                raise ValueError(f"position is {each['position']!r}, of no earlier thing")
    return text_of(row, "prompt")
