"""The shipped adapter: it is listened to, and two boxes of one name are two things."""

from collections.abc import Sequence

import pytest
import torch

from spatialgen.adapter.adapter import SpatialAdapter
from spatialgen.evaluation.verdicts import boxes_verdict
from spatialgen.grounding.detector import Detector
from spatialgen.layouts import Layout, Placed, boxes_by_name, make_layout
from spatialgen.pipelines.loading import load_pipeline
from tests.conftest import REPOSITORY

SAMPLE = REPOSITORY / "spatialgen" / "sample"
NAMES = ("熊猫", "青蛙", "苹果", "蘑菇", "星星", "灯笼", "公交车", "房子")
LEFT, RIGHT = (0.04, 0.3, 0.46, 0.75), (0.54, 0.3, 0.96, 0.75)


@pytest.fixture(scope="module")
def pipe():
    torch.set_num_threads(1)
    return load_pipeline(SAMPLE / "adapter-small", base=SAMPLE / "kolors-small", device="cpu")


@pytest.fixture(scope="module")
def detector():
    return Detector.from_pretrained(SAMPLE / "judge-small")


def painted(pipe, layouts: Sequence[Layout], captions: list[str], **options):
    return pipe(
        captions,
        layout_phrases=[[each.name for each in layout] for layout in layouts],
        layout_boxes=[[each.bbox for each in layout] for layout in layouts],
        generator=[torch.Generator().manual_seed(n) for n in range(len(layouts))],
        num_inference_steps=10,
        **options,
    ).images


def hits(detector, pictures, layouts: Sequence[Layout]) -> int:
    """Instances that have a thing of their name in their box, each thing counted once."""
    total = 0
    for layout, things in zip(layouts, detector.detect(pictures), strict=True):
        seen = make_layout([{"name": each.name, "bbox": each.bbox} for each in things])
        total += boxes_verdict(layout, boxes_by_name(seen))["mig_hits"]
    return total


def test_two_boxes_of_one_name_are_two_things(pipe, detector):
    layouts = [(Placed(name, LEFT), Placed(name, RIGHT)) for name in NAMES]
    captions = [f"两个{name}" for name in NAMES]
    found = hits(detector, painted(pipe, layouts, captions), layouts)
    assert found >= 12, "of 16"
    assert hits(detector, painted(pipe, layouts, captions, layout_scale=0.0), layouts) <= 6


def test_things_are_where_their_boxes_are_on_either_side(pipe, detector):
    pairs = [*zip(NAMES, NAMES[1:] + NAMES[:1], strict=True)]
    captions = [f"{one}和{other}" for one, other in pairs]
    for sides in ((LEFT, RIGHT), (RIGHT, LEFT)):
        layouts = [
            tuple(Placed(name, box) for name, box in zip(pair, sides, strict=True))
            for pair in pairs
        ]
        assert hits(detector, painted(pipe, layouts, captions), layouts) >= 12, "of 16"


def test_textures_do_not_collapse(pipe, detector):
    """Pictures with boxes vary as the base's do: flat or burnt ones do not."""
    layouts = [(Placed(name, LEFT),) for name in NAMES]
    spreads = [
        torch.stack([torch.tensor(list(picture.tobytes()), dtype=torch.float32).std()
                     for picture in painted(pipe, layouts, [*NAMES], layout_scale=scale)]).mean()
        for scale in (1.0, 0.0)
    ]  # fmt: skip
    assert 0.6 < float(spreads[0] / spreads[1]) < 1.6


def test_it_is_small_and_says_what_it_is_made_of():
    adapter = SpatialAdapter.from_pretrained(SAMPLE / "adapter-small")
    assert len(adapter.parts) == 14
    assert sum(each.numel() for each in adapter.parameters()) < 0.05 * 5_740_000
    assert adapter.origin["base"] == "spatialgen/sample/kolors-small"
    assert set(adapter.origin["tables"]) == {"boxes", "captions", "latents", "prompts", "splits"}
