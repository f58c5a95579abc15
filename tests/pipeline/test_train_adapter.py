"""Stage train_adapter, and pictures by its adapter, which say what made them."""

import json
import shlex
import time
from pathlib import Path

import pytest
from PIL import Image

from spatialgen.adapter.adapter import SpatialAdapter
from tests.conftest import Complaint, Project

CAPTION = "熊猫在苹果的左边"
LAYOUT = [
    {"name": "熊猫", "bbox": [0.05, 0.3, 0.45, 0.8]},
    {"name": "苹果", "bbox": [0.55, 0.3, 0.95, 0.8]},
]


@pytest.fixture
def trained(annotated: Project, tmp_path: Path) -> Project:
    """A project that has run to its end, to be changed at will."""
    return annotated.copy(tmp_path / "project")


def trainings(project: Project) -> dict[str, list[str]]:
    """The lines of each training's curve."""
    folders = (project.root / ".lake" / "train").glob("adapter-*")
    curves = {folder.name: folder / "curve.jsonl" for folder in folders}
    return {name: each.read_text().splitlines() for name, each in curves.items() if each.exists()}


def test_it_leaves_an_adapter_its_figures_its_curves_and_a_grid(annotated: Project) -> None:
    adapter = SpatialAdapter.from_pretrained(annotated.root / "models" / "adapter")
    assert adapter.origin["base"] == "spatialgen/sample/kolors-small"
    assert len(adapter.layers) == 14
    figures = json.loads((annotated.root / "metrics" / "adapter.json").read_text())
    assert {"error", "error_without", "error_shuffled", "unet_share"} <= figures.keys()
    assert figures["unet_share"] < 0.05
    plots = annotated.root / "plots" / "train_adapter"
    for name in ("loss", "gradient", "gate", "output_norm"):
        assert (plots / "plots" / "metrics" / "train" / f"{name}.tsv").exists()
    with Image.open(plots / "validation.jpg") as grid:
        assert grid.width > 300


def test_a_finished_training_is_published_again_not_repeated(trained: Project) -> None:
    first = trainings(trained)
    (trained.root / "models" / "adapter" / "adapter_config.json").unlink()
    trained.run("dvc", "repro", "-f", "-s", "train_adapter")
    assert trainings(trained) == first
    trained.set_params(train_adapter__seed=1)
    trained.run("dvc", "repro", "-s", "train_adapter")
    assert len(trainings(trained)) == len(first) + 1


@pytest.mark.slow
def test_kill_9_and_repro_give_the_losses_of_a_run_that_was_left_alone(
    trained: Project, tmp_path: Path
) -> None:
    trained.set_params(train_adapter__steps=24)
    trained.commit("longer")
    alone = trained.copy(tmp_path / "alone")
    alone.run("dvc", "repro", "-s", "train_adapter")
    known = set(trainings(trained))
    process = trained.start("dvc", "repro", "-s", "train_adapter")
    while not any(len(trainings(trained)[n]) > 7 for n in set(trainings(trained)) - known):
        assert process.poll() is None
        time.sleep(0.05)
    trained.kill(process)
    trained.run("dvc", "repro", "-s", "train_adapter")
    (name,) = set(trainings(trained)) - known
    assert trainings(trained)[name] == trainings(alone)[name]


def pixels(path: Path) -> tuple[tuple[int, int], bytes]:
    with Image.open(path) as picture:
        return picture.size, picture.tobytes()


def test_a_picture_says_what_made_it_and_which_rows_are_behind_it(trained: Project) -> None:
    (trained.root / "layout.json").write_text(json.dumps(LAYOUT), encoding="utf-8")
    options = ["--steps", "2", "--seed", "5"]
    trained.run(
        "spatialgen", "generate", CAPTION, "-o", "a.png", "--layout", "layout.json", *options
    )
    trained.run(
        "spatialgen", "generate", CAPTION, "-o", "b.png", "--layout", "layout.json", *options
    )
    first, again = (pixels(trained.root / name) for name in ("a.png", "b.png"))
    assert first == again
    assert first[0] == (64, 64)
    trained.run("spatialgen", "generate", CAPTION, "-o", "c.png", "--draw-boxes", *options)
    assert pixels(trained.root / "c.png")[0] == (384, 384)
    said = trained.run("spatialgen", "trace", "a.png").stdout
    origin = SpatialAdapter.from_pretrained(trained.root / "models" / "adapter").origin
    for text in (origin["fp"], origin["base"], origin["tables"]["boxes"], "seed: 5", "熊猫"):
        assert text in said
    command = said[said.index("spatialgen sql") :].strip()
    rows = json.loads(trained.run(*shlex.split(command), "--format", "json").stdout)
    assert len(rows) == origin["trained_rows"]
    both = trained.run("spatialgen", "trace", "c.png").stdout
    assert both.count("rows that trained the") == 2, "the planner's, too"


def test_rows_of_an_earlier_revision_are_found_where_they_are(trained: Project) -> None:
    trained.run("spatialgen", "generate", CAPTION, "-o", "a.png", "--scale", "0", "--steps", "1")
    revision = trained.run("git", "rev-parse", "--short", "HEAD").stdout.strip()
    trained.set_params(split__salt="other")
    trained.run("dvc", "repro", "-s", "split")
    trained.commit("another split")
    said = trained.run("spatialgen", "trace", "a.png").stdout
    found = said.split("--at ")[1].strip()
    log = trained.run("git", "log", "--format=%h").stdout.split()
    assert found in log
    assert found != log[0]
    assert revision in log


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"where": "len(objects) > 99"}, "satisfies train_adapter.where"),
        ({"where": "objects"}, "train_adapter.where = "),
        ({"unboxed_share": 0.95}, "lower it"),
        ({"width": 30}, "no multiple of heads"),
        ({"adapter_layers": "some"}, "train_adapter.adapter_layers"),
        ({"resume": "queries"}, "holds no checkpoint"),
    ],
)
def test_mistakes_are_explained(
    trained: Project, complaint: Complaint, change: dict[str, object], message: str
) -> None:
    trained.set_params(**{f"train_adapter__{name}": value for name, value in change.items()})
    assert message in complaint(trained, "train_adapter")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trace", "params.yaml"], "is no picture"),
        (["generate", CAPTION, "-o", "a.jpg", "--scale", "0", "--steps", "1"], "name a .png file"),
        (["generate", CAPTION, "-o", "a.png", "--layout", "dvc.yaml"], "is no <obj>"),
        (["generate", CAPTION, "-o", "a.png", "--adapter", "queries"], "holds no adapter"),
        (["generate", CAPTION, "-o", "a.png", "--base", "spatialgen/sample/qwen2-small"],
         "was trained on folder:"),
    ],
)  # fmt: skip
def test_mistakes_of_painting_are_explained(
    annotated: Project, arguments: list[str], message: str
) -> None:
    done = annotated.run("spatialgen", *arguments, check=False)
    assert done.returncode == 1
    assert message in done.stderr
