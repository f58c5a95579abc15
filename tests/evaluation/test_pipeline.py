"""pipeline/evaluate.py as it stands, with the small Kolors and an adapter that learned nothing."""

import json
import shutil

import lance
import pytest
import torch
import yaml
from diffusers import UNet2DConditionModel
from PIL import Image

from pipeline import evaluate
from spatialgen.adapter.adapter import AdapterConfig, SpatialAdapter
from spatialgen.model_identity import model_identity
from tests.conftest import REPOSITORY
from tests.evaluation.lakes import SAMPLE, encode, evaluate_params, fill
from tests.planner.planners import tiny_planner

KOLORS = SAMPLE / "kolors-small"


def save_adapter(folder):
    """One that is not trained, for the small Kolors."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel.from_pretrained(KOLORS, subfolder="unet")
    sizes = {"width": 8, "token_width": 16, "heads": 2, "frequencies": 2}
    text = json.loads((KOLORS / "text_encoder" / "config.json").read_text(encoding="utf-8"))
    config = AdapterConfig.of_unet(unet, text["hidden_size"], **sizes)
    identity = model_identity(str(KOLORS), None, "encode.revision")
    origin = {"base": str(KOLORS), "revision": None, "base_identity": identity}
    SpatialAdapter(config, origin).save_pretrained(folder)


@pytest.fixture
def project(lake, tmp_path, monkeypatch):
    """A project whose evaluate stage is next."""
    fill(lake, sides=4)
    params = evaluate_params()
    encode(lake, params)
    save_adapter(tmp_path / "models" / "adapter")
    tiny_planner(tmp_path / "tiny").save_pretrained(tmp_path / "models" / "planner")
    text = yaml.safe_load((REPOSITORY / "params.yaml").read_text(encoding="utf-8"))
    changed = params.evaluate.model_dump() | {
        "captions": 3, "also": ["planned", "shuffled", "reconstruction"], "scales": [0.5],
    }  # fmt: skip
    text["evaluate"] = changed
    text["encode"]["model"] = str(KOLORS)
    text["compute"] |= {"device": "cpu", "threads": 1, "batch_pictures": 8}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(text, allow_unicode=True))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SPATIALGEN_STORE", str(tmp_path / ".lake"))
    return tmp_path


def test_it_paints_judges_and_says_what_it_did_not_measure(project, capsys):
    evaluate.main()
    (said,) = (
        line for line in capsys.readouterr().out.splitlines() if line.startswith("evaluate:")
    )
    assert "FID not measured" in said
    assert "s per picture" in said
    figures = json.loads((project / "metrics" / "evaluate.json").read_text())
    conditions = {"on", "off", "planned", "shuffled", "reconstruction"}
    assert conditions < figures.keys()
    assert figures["failed"] == 0
    assert [*figures["sweeps"]["scale"]] == ["0.5", "1"]
    rows = lance.dataset(str(project / "lake" / "generations.lance")).to_table(
        columns=["condition", "generation_id"]
    )
    assert rows.num_rows == figures["rows"] == 18
    assert set(rows["condition"].to_pylist()) == conditions | {"on@scale=0.5"}
    with Image.open(project / "plots" / "evaluate" / "sheet.jpg") as sheet:
        assert sheet.width > sheet.height > 500
    text = (project / "plots" / "evaluate" / "scale.csv").read_text()
    assert [line.split(",")[0] for line in text.splitlines()] == ["scale", "0.5", "1"]


def test_an_adapter_that_learned_nothing_paints_as_its_base_and_a_rerun_paints_nothing(project):
    evaluate.main()
    figures = json.loads((project / "metrics" / "evaluate.json").read_text())
    seconds = {name: figures[name].pop("seconds") for name in ("on", "off")}
    assert min(seconds.values()) > 0
    assert figures["on"] == figures["off"]
    manifest = (project / "lake" / "generations.json").read_text()
    shutil.rmtree(project / "lake" / "generations.lance")
    evaluate.main()
    assert (project / "lake" / "generations.json").read_text() == manifest
    again = json.loads((project / "metrics" / "evaluate.json").read_text())
    assert again["shuffled"] == figures["shuffled"]
