"""T2I-CompBench++ (Huang et al., arXiv:2307.06350): files of a prompt per line, ten pictures each.

    samples/a girl on the top of a frog_000010.png

The evaluators know a prompt only by the name of its picture's file, which they cut at "_", and list
samples/, so nothing else may be in it. The number counts the pictures of all prompts.
"""

import shlex
from pathlib import Path, PurePosixPath

from spatialgen.suites.suite import Prompt, Suite, blame, read_text, text_of

MAX_BYTES = 240  # of a prompt, so that the name of a picture stays below 255, the most there may be
UNFIT = "_/\0"  # the first ends the prompt; the others are in no name of a file


class T2ICompBench(Suite):
    """T2I-CompBench++'s folder."""

    name = "t2i_compbench"
    samples = 10
    remedy = "take it anew from examples/dataset of github.com/Karine-Huang/T2I-CompBench"

    def read(self, path: Path) -> list[Prompt]:
        """The prompts of a .txt file; their numbers count its lines from 0."""
        prompts = []
        for number, line in enumerate(read_text(path, self.remedy).splitlines()):
            with blame(f"{path}: line {number + 1}", self.remedy):
                text = text_of({"the prompt": line.split("\t")[0]}, "the prompt")
                if any(each in text for each in UNFIT) or len(text.encode()) > MAX_BYTES:
                    raise ValueError(
                        f"{text[:80]!r} holds a _ or a /, or more than {MAX_BYTES} bytes, and "
                        "names no file that the evaluator could read"
                    )
                prompts.append(Prompt(number, text, text))
        return prompts

    def picture(self, prompt: Prompt, sample: int, samples: int) -> PurePosixPath:
        """samples/<prompt>_000000.png"""
        place = prompt.number * samples + sample
        return PurePosixPath("samples", f"{prompt.original}_{place:06}.png")

    def command(self, folder: Path) -> str:
        """The evaluators of positions."""
        place = shlex.quote(str(folder))
        return (
            f"cd UniDet_eval\npython 2D_spatial_eval.py --outpath {place}\n"
            "# of complex_val_spatial.txt: the same with --complex True\n"
            f"# of 3d_spatial_val.txt: python 3D_spatial_eval.py --outpath {place}"
        )
