"""Contact sheets: pictures of the sample world with boxes drawn, to look at.

    python -m spatialgen.sample.sheet world.jpg                     # true boxes
    python -m spatialgen.sample.sheet judge.jpg --judge FOLDER      # what the second judge finds

True boxes are green, found ones red. The captions are printed, left to right and top to bottom.
"""

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PIL import Image, ImageDraw

from spatialgen.grounding.detector import Detector
from spatialgen.sample.world.captions import RULES, write_situation
from spatialgen.sample.world.scenes import SIDE
from spatialgen.sample.world.view import View, normalised, seeded, show

SCALE = 2
GAP = 6
TRUE, FOUND = "#00a040", "#e02020"

Boxes = Sequence[Sequence[float]]  # [x1, y1, x2, y2] in [0, 1]


def draw_sheet(
    pictures: Sequence[Image.Image], layers: Sequence[tuple[str, Sequence[Boxes]]], columns: int = 6
) -> Image.Image:
    """The pictures in rows, enlarged, each with its boxes of every (colour, boxes) layer."""
    step = SIDE * SCALE + GAP
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * step - GAP, rows * step - GAP), "white")
    for number, picture in enumerate(pictures):
        large = picture.resize((SIDE * SCALE, SIDE * SCALE), Image.Resampling.BICUBIC)
        pen = ImageDraw.Draw(large)
        for colour, boxes in layers:
            for bbox in boxes[number]:
                x1, y1, x2, y2 = (side * SIDE * SCALE for side in bbox)
                pen.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=colour, width=2)
        sheet.paste(large, (number % columns * step, number // columns * step))
    return sheet


def sample_views(count: int, seed: int) -> list[View]:
    """Views of the split `test`, all kinds of situation in turn."""
    rules = [(kind, rule) for kind in RULES for rule in RULES[kind]]
    views = []
    for number in range(count):
        kind, rule = rules[number % len(rules)]
        make = partial(write_situation, rule=rule, spatial_type=kind)
        views.append(show(seeded("test", seed, number), make))
    return views


def main() -> None:
    """Draw a sheet."""
    parser = argparse.ArgumentParser(description="Draw a contact sheet of the sample world.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--pictures", type=int, default=18)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--judge", type=Path, help="a detector's folder, whose boxes are drawn too")
    options = parser.parse_args()
    views = sample_views(options.pictures, options.seed)
    pictures = [view.draw() for view in views]
    layers = [(TRUE, [[normalised(box) for box in view.boxes] for view in views])]
    if options.judge:
        found = Detector.from_pretrained(options.judge).detect(pictures)
        layers.append((FOUND, [[thing.bbox for thing in each] for each in found]))
    draw_sheet(pictures, layers).save(options.out, quality=88)
    for view in views:
        print(view.situation.caption)


if __name__ == "__main__":
    main()
