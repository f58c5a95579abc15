"""An adapter's folder is all that painting takes: loading, and folders for benchmarks."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from spatialgen.cli.app import app
from spatialgen.cli.suites import Painter
from spatialgen.errors import InputError
from spatialgen.layouts import Placed
from spatialgen.model_identity import model_identity
from spatialgen.pipelines.kolors import KolorsSpatialPipeline
from spatialgen.pipelines.loading import load_pipeline
from spatialgen.pipelines.sdxl import StableDiffusionXLSpatialPipeline
from spatialgen.suites.suite import Prompt
from tests.pipelines.conftest import random_adapter

CLASSES = {"kolors": KolorsSpatialPipeline, "sdxl": StableDiffusionXLSpatialPipeline}


@pytest.fixture(params=[*CLASSES])
def folder(request: pytest.FixtureRequest, bases: dict[str, Path], tmp_path: Path) -> Path:
    """An adapter's folder that names its base."""
    base = bases[request.param]
    pipe = CLASSES[request.param].from_pretrained(base, dtype=torch.float32)
    width = pipe.unet.config.encoder_hid_dim or pipe.unet.config.cross_attention_dim
    adapter = random_adapter(pipe.unet, width)
    adapter.origin |= {"base": str(base), "revision": None, "fp": "0",
                       "base_identity": model_identity(str(base), None, "base")}  # fmt: skip
    adapter.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def test_the_base_that_an_adapter_names_is_loaded_in_its_kind(folder: Path) -> None:
    pipe = load_pipeline(folder, device="cpu")
    about = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    index = json.loads((Path(about["base"]) / "model_index.json").read_text(encoding="utf-8"))
    assert type(pipe).__name__ == index["_class_name"].replace("Pipeline", "SpatialPipeline")
    assert pipe.spatial_adapter is not None


def test_another_base_is_refused(folder: Path, bases: dict[str, Path]) -> None:
    about = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    (other,) = [str(path) for path in bases.values() if str(path) != about["base"]]
    with pytest.raises(InputError, match="was trained on folder:"):
        load_pipeline(folder, base=other, device="cpu")


def test_a_benchmark_is_painted_from_the_shell_and_gone_on_with(
    folder: Path, tmp_path: Path
) -> None:
    prompts = tmp_path / "evaluation_metadata.jsonl"
    include = [
        {"class": "dog", "count": 1},
        {"class": "cat", "count": 1, "position": ["left of", 0]},
    ]
    rows = [
        {"tag": "position", "include": include, "prompt": f"a photo of cat {n}"} for n in range(2)
    ]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    command = ["eval", "export", "--suite", "geneval", str(prompts), str(tmp_path / "out"),
               "--adapter", str(folder), "--steps", "1", "--samples", "2",
               "--scale", "0"]  # fmt: skip
    for painted in (4, 0):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 0, done.output
        assert f"4 pictures in {tmp_path / 'out'}, {painted} of them new" in done.output
    assert len([*(tmp_path / "out").glob("0000*/samples/*.png")]) == 4
    refused = CliRunner().invoke(app, [*command, "--seed", "1"])
    assert isinstance(refused.exception, InputError)


def test_prompts_without_boxes_are_planned() -> None:
    asked: dict[str, Any] = {}

    class Pipe:
        class layout_planner:
            @staticmethod
            def plan(texts: list[str]) -> list[Any]:
                return [(Placed(text, (0.0, 0.0, 0.5, 0.5)),) for text in texts]

        def __call__(self, texts: list[str], **options: Any) -> Any:
            asked.update(options, texts=texts)
            return type("Painted", (), {"images": texts})

    settings = {name: 1 for name in ("num_inference_steps", "guidance_scale",
                                     "layout_guidance_scale", "layout_scale")}  # fmt: skip
    boxed = Placed("cup", (0.1, 0.1, 0.9, 0.9))
    prompts = [Prompt(0, "a", "a", (), {}), Prompt(1, "b", "b", (boxed,), {})]
    Painter(Pipe(), settings)(prompts, [0, 1])
    assert asked["layout_phrases"] == [["a"], ["cup"]]
    assert asked["layout_boxes"] == [[(0.0, 0.0, 0.5, 0.5)], [(0.1, 0.1, 0.9, 0.9)]]
