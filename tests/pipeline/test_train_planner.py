"""Stage train_planner: what it leaves, what it does not do twice, and what it says of mistakes."""

import json
import time

import pytest

from spatialgen.layouts import parse_layout
from spatialgen.planner.planner import LayoutPlanner
from tests.conftest import Project

CAPTION = "左边是一只熊猫，右边是一只青蛙"


@pytest.fixture
def trained(annotated, tmp_path):
    """A project that has run to its end, to be changed at will."""
    return annotated.copy(tmp_path / "project")


def trainings(project: Project) -> dict[str, tuple[list[str], int]]:
    """The lines of each training's curve, and when it was last written."""
    folders = (project.root / ".lake" / "train").glob("planner-*")
    curves = {folder.name: folder / "curve.jsonl" for folder in folders}
    return {
        name: (curve.read_text().splitlines(), curve.stat().st_mtime_ns)
        for name, curve in curves.items()
        if curve.exists()
    }


def test_it_leaves_a_planner_its_figures_and_its_curve(annotated):
    planner = LayoutPlanner.from_pretrained(annotated.root / "models" / "planner")
    assert planner.plan(CAPTION)
    figures = json.loads((annotated.root / "metrics" / "planner.json").read_text())
    assert set(figures) >= {
        *("relation", "by_relation", "object_f1", "count_accuracy", "mean_iou", "overlap"),
        *("out_of_canvas", "counterfactual", "parse_rate", "chance", "copy_nearest"),
    }
    assert set(figures["relation"]) == {"visor", "geneval", "t2i_compbench", "nsr", "referee"}
    assert (
        figures["copy_nearest"]["relation"]["geneval"]["n"] == figures["relation"]["geneval"]["n"]
    )
    curve = annotated.root / "plots" / "train_planner" / "plots" / "metrics"
    assert len((curve / "train" / "loss.tsv").read_text().splitlines()) == 7
    assert (curve / "val" / "score.tsv").exists()
    shown = json.loads(annotated.run("dvc", "metrics", "show", "--json").stdout)[""]["data"]
    assert shown["plots/train_planner/metrics.json"]["data"]["step"] == 6
    page = (annotated.root / "report" / "index.html").read_text(encoding="utf-8")
    assert "plots/train_planner" in page, "the report draws it"


def training(project: Project) -> str:
    """The name of the training that is published."""
    config = json.loads((project.root / "models/planner/planner_config.json").read_text())
    return f"planner-{config['fp']}"


def test_a_finished_training_is_published_again_not_repeated(trained):
    first = trainings(trained)
    (trained.root / "models" / "planner" / "config.json").unlink()
    trained.run("dvc", "repro", "-f", "-s", "train_planner")
    assert trainings(trained) == first
    assert (trained.root / "models" / "planner" / "config.json").exists()
    weights = (trained.root / "models" / "planner" / "model.safetensors").read_bytes()
    trained.set_params(train_planner__seed=1)
    trained.run("dvc", "repro", "-s", "train_planner")
    other = trainings(trained)
    assert {*other} == {*first, training(trained)} != {*first}
    assert (trained.root / "models" / "planner" / "model.safetensors").read_bytes() != weights
    trained.set_params(train_planner__seed=0)
    trained.run("dvc", "repro", "-s", "train_planner")
    assert trainings(trained) == other
    assert (trained.root / "models" / "planner" / "model.safetensors").read_bytes() == weights


@pytest.mark.slow
def test_kill_9_and_repro_give_the_losses_of_a_run_that_was_left_alone(trained, tmp_path):
    trained.set_params(train_planner__steps=24)
    trained.commit("longer")
    alone = trained.copy(tmp_path / "alone")
    alone.run("dvc", "repro", "-s", "train_planner")
    known = set(trainings(trained))
    process = trained.start("dvc", "repro", "-s", "train_planner")
    while not any(
        len(lines) > 7 for name, (lines, _) in trainings(trained).items() if name not in known
    ):
        assert process.poll() is None
        time.sleep(0.05)
    trained.kill(process)
    trained.run("dvc", "repro", "-s", "train_planner")
    (name,) = set(trainings(trained)) - known
    assert trainings(trained)[name][0] == trainings(alone)[name][0]
    assert (trained.root / "metrics" / "planner.json").read_bytes() == (
        alone.root / "metrics" / "planner.json"
    ).read_bytes()


@pytest.mark.slow
def test_two_processes_train_together(trained):
    name = training(trained)
    one = [json.loads(line)["train/loss"] for line in trainings(trained)[name][0]]
    trained.run("rm", "-r", str(trained.root / ".lake" / "train" / name))
    trained.set_params(processes=2, device="cpu")
    done = trained.run("python", "-m", "pipeline.train_planner")
    assert done.stdout.count("train_planner:") == 1
    two = [json.loads(line)["train/loss"] for line in trainings(trained)[name][0]]
    assert two == pytest.approx(one, rel=1e-4)


def test_a_planner_goes_on_from_another_ones_checkpoint(trained):
    known, name = {*trainings(trained)}, training(trained)
    trained.set_params(train_planner__resume=f".lake/train/{name}", train_planner__steps=9,
                       train_planner__where="len(relations) > 1")  # fmt: skip
    done = trained.run("dvc", "repro", "-s", "train_planner")
    assert "on from step 6" in done.stderr + done.stdout
    (more,) = {*trainings(trained)} - known
    assert [json.loads(line)["step"] for line in trainings(trained)[more][0]] == [7, 8, 9]


def test_lora_leaves_what_was_trained_and_plan_reads_it(trained):
    trained.set_params(train_planner__lora_rank=2)
    trained.run("python", "-m", "pipeline.train_planner")
    config = json.loads((trained.root / "models/planner/planner_config.json").read_text())
    assert config["adapter"]
    assert config["base"] == "spatialgen/sample/qwen2-small"
    done = trained.run("spatialgen", "plan", CAPTION, "--draw", "plan.png", "--format", "json")
    (row,) = json.loads(done.stdout)
    assert parse_layout(row["layout"])
    assert (trained.root / "plan.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"where": "len(relations) > 99"}, "satisfies train_planner.where"),
        ({"where": "relations"}, "train_planner.where = "),
        ({"where": "true; drop table boxes"}, "is no condition"),
        ({"base": "nowhere/at-all"}, "train_planner.revision"),
        ({"base": "queries"}, "does not load as a causal language model"),
        ({"base": "models/planner"}, "is what this stage writes"),
        ({"steps": 0}, "train_planner.steps"),
        ({"resume": "queries"}, "holds no checkpoint"),
    ],
)
def test_mistakes_are_explained(trained, complaint, change, message):
    trained.set_params(**{f"train_planner__{name}": value for name, value in change.items()})
    assert message in complaint(trained, "train_planner")
