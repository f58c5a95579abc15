"""The second judge: its files, its boxes, and what the shipped one finds."""

from pathlib import Path

import pytest
import torch
from PIL import Image, ImageFilter

from spatialgen.errors import InputError
from spatialgen.grounding.detector import Detector, DetectorConfig
from spatialgen.sample import train_judge
from spatialgen.sample.annotator_data import training_view
from spatialgen.sample.train_judge import iou_of_sides, score, targets
from spatialgen.sample.world.classes import THINGS
from tests.benchmarks.annotator import as_served

SHIPPED = Path(train_judge.__file__).with_name("judge-small")


def test_saved_detector_loads_and_detects_alike(tmp_path):
    torch.manual_seed(0)
    detector = Detector(DetectorConfig(("猫", "狗"), threshold=0.0)).eval()
    detector.save_pretrained(tmp_path)
    again = Detector.from_pretrained(tmp_path)
    assert again.config == detector.config
    picture = as_served(training_view("test", 3, 0))
    first, second = (each.detect([picture]) for each in (detector.half().float(), again))
    assert first == second
    assert first[0]
    assert all(0 <= side <= 1 for thing in first[0] for side in thing.bbox)


@pytest.mark.parametrize("damage", ["none", "config", "weights", "classes"])
def test_folder_without_a_detector_is_refused(tmp_path, damage):
    if damage != "none":
        Detector(DetectorConfig(("猫",))).save_pretrained(tmp_path)
    if damage == "config":
        (tmp_path / "config.json").write_text("{}")
    if damage == "weights":
        (tmp_path / "model.safetensors").write_bytes(b"x")
    if damage == "classes":
        Detector(DetectorConfig(("猫", "狗"))).save_pretrained(tmp_path / "other")
        (tmp_path / "other" / "config.json").replace(tmp_path / "config.json")
    with pytest.raises(InputError, match="holds no detector"):
        Detector.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"side": 0}, {"side": 100}, {"side": "x"}, {"threshold": None}, {"threshold": 2},
              {"widths": (8, 8)}, {"classes": ()}]
)  # fmt: skip
def test_configs_that_detect_nothing_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match=r"side|threshold|widths"):
        DetectorConfig(**{"classes": ("猫",), **wrong})


def test_no_pictures_have_no_detections():
    detector = Detector(DetectorConfig(("猫",))).eval()
    assert detector.detect([]) == []
    assert len(detector.features([])) == 0


def test_targets_stand_where_things_are():
    views = [training_view("train", 1000, index) for index in range(20)]
    heat, sides, places = targets(views)
    for number, view in enumerate(views):
        assert (heat[number] == 1).sum() == len(
            {(t.name, int(b.x) // 8, int(b.y) // 8)
             for t, b in zip(view.scene.things, view.boxes, strict=True)}
        )  # fmt: skip
    boxes = {(n, box.left, box.top, box.right, box.bottom)
             for n, view in enumerate(views) for box in view.boxes}  # fmt: skip
    for (number, row, column), (left, top, right, bottom) in zip(places, sides, strict=True):
        x, y = 8 * (column + 0.5), 8 * (row + 0.5)
        box = (x - 8 * left, y - 8 * top, x + 8 * right, y + 8 * bottom)
        assert (number, *(round(side) for side in box)) in boxes


def test_iou_of_distances():
    true = torch.tensor([[1.0, 1.0, 1.0, 1.0]])
    assert float(iou_of_sides(true, true)) == 1
    assert float(iou_of_sides(true / 2, true)) == pytest.approx(0.25)


def test_shipped_judge_finds_things_in_clean_and_blurred_pictures():
    judge = Detector.from_pretrained(SHIPPED)
    assert judge.config.classes == tuple(THINGS)
    views = [training_view("test", 4, index) for index in range(100)]
    pictures = [as_served(view) for view in views]
    clean = score(judge, pictures, views)
    assert min(clean["precision_50"], clean["recall_50"]) > 0.94
    blurred = [picture.filter(ImageFilter.GaussianBlur(1)) for picture in pictures]
    assert score(judge, blurred, views)["f1_50"] > 0.9


def test_shipped_judge_gives_features_that_tell_pictures_apart():
    judge = Detector.from_pretrained(SHIPPED)
    pictures = [as_served(training_view("test", 5, index)) for index in range(8)]
    features = judge.features(pictures)
    assert features.shape == (8, sum(judge.config.widths[-2:]))
    assert torch.allclose(features[:3], judge.features(pictures[:3]), atol=1e-5)
    noise = judge.features([Image.effect_noise((128, 128), 90).convert("RGB")] * 2)
    among = torch.pdist(features).mean()
    assert (features.mean(0) - noise[0]).norm() > among


def test_shipped_judge_is_small():
    assert sum(path.stat().st_size for path in SHIPPED.iterdir() if path.suffix != ".jpg") < 2**20
