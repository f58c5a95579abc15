"""VISOR (Gokhale et al., arXiv:2212.10015): 25 280 prompts of two things, four pictures each.

    text_spatial_rel_phrases.json        the suite's own records, each at the place of its number
    images/spatialgen/<unique_id>_0.png  their pictures

visor.py finds a record by its place in the list. Prompts that say no position ("a cat and a dog",
"a cat"), 6 400 of the file's 31 680, are passed over by visor.py and so here: their places hold
null.
"""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from spatialgen.errors import InputError
from spatialgen.suites.suite import Prompt, Suite, blame, read_json, text_of, write_text

RELATIONS = ("to the left of", "to the right of", "above", "below")
PHRASES = "text_spatial_rel_phrases"
MODEL = "spatialgen"  # as visor.py --mo names it


class Visor(Suite):
    """VISOR's folder."""

    name = "visor"
    samples = 4
    remedy = (
        f"make {PHRASES}.json anew with create_spatial_phrases.py of github.com/microsoft/VISOR"
    )

    def read(self, path: Path) -> list[Prompt]:
        """The prompts of text_spatial_rel_phrases.json that state a position; their numbers are
        its unique_ids."""
        rows = read_json(path, self.remedy)
        if not isinstance(rows, list):
            raise InputError(f"{path} is no list of prompts; {self.remedy}")
        prompts = []
        for place, row in enumerate(rows):
            with blame(f"{path}: record {place}", self.remedy):
                if row["unique_id"] != place:
                    raise ValueError(f"its unique_id is {row['unique_id']!r}")
                text, relation = text_of(row, "text"), text_of(row, "rel_type")
                if row["num_objects"] == 2 and relation in RELATIONS:
                    for thing in ("obj_1_attributes", "obj_2_attributes"):
                        text_of({thing: row[thing][0]}, thing)
                    prompts.append(Prompt(place, text, text, row=row))
        if not prompts:
            raise InputError(f"{path} holds no prompt that states a position; {self.remedy}")
        return prompts

    def picture(self, prompt: Prompt, sample: int, samples: int) -> PurePosixPath:
        """images/spatialgen/<unique_id>_0.png"""
        return PurePosixPath("images", MODEL, f"{prompt.number}_{sample}.png")

    def write(self, prompts: Sequence[Prompt], folder: Path) -> None:
        """text_spatial_rel_phrases.json, as long as these prompts need it."""
        rows = {prompt.number: prompt.row for prompt in prompts}
        listed = [rows.get(place) for place in range(max(rows) + 1)]
        write_text(folder / f"{PHRASES}.json", json.dumps(listed))

    def command(self, folder: Path) -> str:
        """The detector, of which the suite has a notebook only, then its scores."""
        pictures = shlex.quote(str(folder / "images" / MODEL))
        return (
            "# detect with OWL-ViT as text2image_realtime_evaluate.ipynb does, in all of\n"
            f"#   {pictures}\n"
            "# into one file, under keys like 0_0 (the pictures' names without .png):\n"
            f"#   od/results_{MODEL}_{PHRASES}_owlvit_0.1.json\n"
            f"python visor.py --text_json {shlex.quote(str(folder / PHRASES))}.json --mo {MODEL}"
        )
