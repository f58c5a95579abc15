"""A lake of the sample world's pictures with their true boxes, encoded by the small Kolors, and a
pipeline that paints a picture as it should be, or nothing."""

import hashlib
import io
from typing import Any

import torch
from diffusers import AutoencoderKL
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

from spatialgen.encode.stage import asked_pictures, pictures_stage
from spatialgen.lake.ids import row_id
from spatialgen.lake.lake import Lake
from spatialgen.lake.parts import PartStore
from spatialgen.lake.schemas import LATENTS, TABLES
from spatialgen.params import Params, load_params
from spatialgen.relations.parse import read_caption
from spatialgen.rows.engine import answer_rows
from spatialgen.rows.publish import publish_parts
from spatialgen.rows.runner import Inline
from spatialgen.sample.annotator_data import shown_objects
from spatialgen.sample.generator_data import NAMES, SIZES, generator_view
from spatialgen.sample.world.captions import RULES, Situation, write_situation
from spatialgen.sample.world.view import View, seeded, show
from tests import tables
from tests.conftest import REPOSITORY, compute_params

SAMPLE = REPOSITORY / "spatialgen" / "sample"


def evaluate_params(**changed: Any) -> Params:
    """The repository's params, of few cheap pictures; `changed` are of section evaluate."""
    params = load_params(REPOSITORY / "params.yaml")
    models = {"annotator": str(SAMPLE / "qwen2-vl-small"), "detector": str(SAMPLE / "judge-small")}
    section = {**models, "captions": 6, "also": [], "steps": 1} | changed
    return params.model_copy(
        update={
            "evaluate": params.evaluate.model_copy(update=section),
            "encode": params.encode.model_copy(update={"model": str(SAMPLE / "kolors-small")}),
            "compute": compute_params(device="cpu", batch_pictures=8, threads=1),
        }
    )


def side_view(index: int) -> View:
    """A picture of two large things, one on a side of the other."""
    (rule,) = (rule for rule in RULES["strong"] if rule.__name__ == "_side")

    def make(rng: Any) -> Situation:
        while True:
            situation = write_situation(rng, rule, "strong", NAMES)
            if len(situation.things) == 2:
                return situation

    return show(seeded("test", 1, index), make, SIZES)


def fill(lake: Lake, sides: int = 8, others: int = 0) -> dict[int, View]:
    """The lake's rows, all in split test: some that state a side, and some others."""
    views = [side_view(n) for n in range(sides)]
    views += [generator_view("test", 0, n) for n in range(others)]
    rows: dict[str, list[dict[str, Any]]] = {}
    found = {}
    for number, view in enumerate(views):
        buffer = io.BytesIO()
        view.draw().save(buffer, "PNG")
        caption, content = view.situation.caption, buffer.getvalue()
        url, digest = f"http://a.test/{number}", hashlib.sha256(content).hexdigest()
        key = row_id(url, caption)
        found[key] = view
        same = {"row_id": key, "sha256": digest}
        objects = [
            {"name": name, "bbox": box, "self_iou": None}
            for name, boxes in shown_objects(view).items()
            if name in caption
            for box in boxes
        ]
        stated = [
            {"relation": each.kind, "subject": each.subject, "objects": [*each.objects],
             "agrees": True}
            for each in read_caption(caption).relations
        ]  # fmt: skip
        told = {"objects": objects, "relations": stated, "absent": [], "problems": [], "raw": []}
        size = {"width": view.draw().width, "height": view.draw().height}
        parts = {
            "captions": tables.caption(key, url=url, caption=caption),
            "downloads": {**tables.download(1), **same},
            "images": {**tables.image(1), "sha256": digest, "image": content, **size},
            "boxes": {**tables.boxes(1), **same, **told},
            "splits": tables.split(key, "test"),
        }
        for name, row in parts.items():
            rows.setdefault(name, []).append(row)
    for name, wanted in rows.items():
        tables.publish(lake, TABLES[name], wanted)
    return found


def encode(lake: Lake, params: Params) -> None:
    """Publish lake/latents."""
    stage = pictures_stage(params.encode, params.compute, lake.path("images"))
    asked = asked_pictures(lake)
    answer_rows(lake, stage, asked, Inline("cpu"), attachments=PartStore(lake, LATENTS), quiet=True)
    publish_parts(lake, LATENTS, stage, asked)


class Oracle:
    """A pipeline that paints the true picture of a caption where it is given that one's true boxes,
    and grey otherwise; it records its calls, and fails with too many pictures at once."""

    device = torch.device("cpu")

    def __init__(self, lake: Lake, views: dict[int, View], params: Params, room: int = 99) -> None:
        self.views = {view.situation.caption: view for view in views.values()}
        self.room = room
        self.calls: list[dict[str, Any]] = []
        self.vae = AutoencoderKL.from_pretrained(params.encode.model, subfolder="vae")
        self.image_processor = VaeImageProcessor()

    def set_progress_bar_config(self, **options: Any) -> None:
        assert options == {"disable": True}

    def __call__(self, prompt: list[str], *, height: int, width: int, **named: Any) -> Any:
        if len(prompt) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        noise = [float(torch.rand(1, generator=each)) for each in named.pop("generator")]
        self.calls.append({"prompt": prompt, "noise": noise, **named})
        boxes = named.get("layout_boxes", [[]] * len(prompt))
        self.images = [
            self._picture(text, given).resize((width, height), Image.Resampling.BOX)
            for text, given in zip(prompt, boxes, strict=True)
        ]
        return self

    def _picture(self, caption: str, given: list[list[float]]) -> Image.Image:
        view = self.views[caption]
        true = [
            box for name, each in shown_objects(view).items() if name in caption for box in each
        ]
        near = len(given) == len(true) and all(
            abs(a - b) < 0.01
            for one, other in zip(given, true, strict=True)
            for a, b in zip(one, other, strict=True)
        )
        return view.draw() if near else Image.new("RGB", (128, 128), "grey")
