"""How often the referee agrees with boxes that are right, mirrored, or drawn at random.

    python -m tests.benchmarks.referee [--views 5000] [--nsr1k FOLDER]

On held-out views of the sample world, whose boxes and relations are known: `true` of the rows with
a verdict; `mirrored`: of those that state 左 or 右 only, boxes flipped left to right. `unread`:
share of the strong captions of which no relation could be tested. With NSR-1K (LayoutGPT's spatial
files, boxes of COCO): per relation, the share of pairs that each rule accepts, beside the rule of
NSR-1K itself (45-degree cones), pairs whose boxes are swapped, and chance, which is boxes of two
rows. Prints JSON.
"""

import argparse
import json
import random
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spatialgen.relations.geometry import BBox, holds
from spatialgen.relations.referee import judge, spatial_agree
from spatialgen.sample.annotator_data import shown_objects
from spatialgen.sample.world.captions import make_situation
from spatialgen.sample.world.view import seeded, show
from spatialgen.statistics import wilson
from tests.benchmarks.harness import report

SIDEWAYS = {"left", "right", "left_part", "right_part"}
NSR = {"left": "left", "right": "right", "top": "on", "bottom": "below", "next to": "beside"}


def mirrored(boxes: Sequence[BBox]) -> list[list[float]]:
    return [[1 - x2, y1, 1 - x1, y2] for x1, y1, x2, y2 in boxes]


def sample_world(count: int) -> dict[str, Any]:
    agreed: dict[str, Counter[Any]] = defaultdict(Counter)
    kinds: dict[str, Counter[bool]] = defaultdict(Counter)
    for index in range(count):
        view = show(seeded("test", 1, index), lambda rng: make_situation(rng, "strong"))
        objects, caption = shown_objects(view), view.situation.caption
        verdicts = judge(caption, objects)
        agreed["true"][spatial_agree(verdicts)] += 1
        for verdict in verdicts:
            if verdict.agrees is not None:
                kinds[verdict.relation.kind][verdict.agrees] += 1
        if verdicts and {verdict.relation.kind for verdict in verdicts} <= SIDEWAYS:
            flipped = {name: mirrored(boxes) for name, boxes in objects.items()}
            agreed["mirrored"][spatial_agree(judge(caption, flipped))] += 1
    shares = {
        name: wilson(found[True], found[True] + found[False]).as_dict()
        for name, found in agreed.items()
    }
    by_kind = {
        kind: wilson(found[True], found.total()).as_dict() for kind, found in sorted(kinds.items())
    }
    return {**shares, "unread": agreed["true"][None] / count, "by_relation": by_kind}


def cone(relation: str, a: BBox, b: BBox) -> bool:
    """NSR-1K's own rule."""
    dx, dy = (a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2
    sideways = abs(dx) >= abs(dy)
    return {
        "left": dx < 0 and sideways, "right": dx > 0 and sideways, "next to": sideways,
        "top": dy < 0 and not sideways, "bottom": dy > 0 and not sideways,
    }[relation]  # fmt: skip


def measure_nsr1k(folder: Path) -> dict[str, Any]:
    rows = [
        row
        for name in ("spatial.train.json", "spatial.val.json")
        for row in json.loads((folder / name).read_text(encoding="utf-8"))
    ]
    rng = random.Random(0)
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        relation = row["relation"]
        a, b = (corners(row[thing][1]) for thing in ("obj1", "obj2"))
        c, d = (corners(rng.choice(rows)[thing][1]) for thing in ("obj1", "obj2"))
        kind: Any = NSR[relation]
        for group in (relation, "all"):
            found[group]["n"] += 1
            found[group]["referee"] += holds(kind, [a], [[b]])
            found[group]["nsr"] += cone(relation, a, b)
            found[group]["chance"] += holds(kind, [c], [[d]])
            found[group]["swapped"] += holds(kind, [b], [[a]])
    return {
        group: {
            name: wilson(counts[name], counts["n"]).as_dict()
            for name in ("referee", "nsr", "swapped", "chance")
        }
        for group, counts in found.items()
    }


def corners(box: Sequence[float]) -> list[float]:
    """NSR-1K's [x, y, width, height] as [x1, y1, x2, y2]."""
    x, y, width, height = box
    return [x, y, x + width, y + height]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--views", type=int, default=5000)
    parser.add_argument("--nsr1k", type=Path, help="folder with spatial.train.json and .val.json")
    options = parser.parse_args()
    figures: dict[str, Any] = {"sample_world": sample_world(options.views)}
    if options.nsr1k:
        figures["nsr1k"] = measure_nsr1k(options.nsr1k)
    shares = figures["sample_world"]
    bars = {
        "true boxes >= 0.97": shares["true"]["value"] >= 0.97,
        "mirrored boxes <= 0.05": shares["mirrored"]["value"] <= 0.05,
    }
    report("referee", figures, bars)


if __name__ == "__main__":
    main()
