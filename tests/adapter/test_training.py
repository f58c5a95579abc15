"""Training an adapter on a real encoded lake, with a random tiny Kolors."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from spatialgen.adapter import stage as stages
from spatialgen.adapter.adapter import SpatialAdapter
from spatialgen.adapter.batches import AdapterBatches, gather, layouts_of
from spatialgen.adapter.rows import adapter_rows
from spatialgen.adapter.stage import find_training, make_loop, train_adapter
from spatialgen.encode.tables import Latents, Prompts
from spatialgen.errors import LakeError, ParamsError
from spatialgen.lake.lake import Lake
from spatialgen.relations.swap import swap_sides
from tests.adapter.lakes import adapter_params, encoded_lake
from tests.sample.generators import tiny_kolors

Curve = list[dict[str, float]]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def kolors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_kolors(tmp_path_factory.mktemp("kolors"))


@pytest.fixture(scope="module")
def encoded(tmp_path_factory: pytest.TempPathFactory, kolors: Path) -> Lake:
    return encoded_lake(tmp_path_factory.mktemp("lake"), kolors)


def train(lake: Lake, kolors: Path, **changed: Any) -> tuple[Curve, SpatialAdapter, Path]:
    """The curve, the adapter and the folder of a training."""
    curve: Curve = []
    folder = train_adapter(lake, adapter_params(kolors, **changed), lambda f: curve.append(dict(f)))
    return curve, SpatialAdapter.from_pretrained(folder.result), folder.root


def losses(curve: Curve) -> list[float]:
    return [figures["train/loss"] for figures in curve]


@pytest.fixture(scope="module")
def trained(encoded: Lake, kolors: Path) -> tuple[Curve, SpatialAdapter, Path]:
    return train(encoded, kolors)


def test_it_logs_gradients_gates_and_norms_and_paints_held_out_rows(trained: Any) -> None:
    curve, adapter, root = trained
    assert len(curve) == 6
    for figures in curve:
        assert {"train/gradient", "train/gate", "train/output_norm"} <= figures.keys()
    assert curve[0]["train/output_norm"] == 0, "it begins as the identity"
    assert 0 < curve[-1]["train/output_norm"] < 1
    assert {"val/error", "val/error_without", "val/error_shuffled"} <= curve[2].keys()
    grids = sorted(path.name for path in (root / "validation").iterdir())
    assert grids == ["step-3.jpg", "step-6.jpg"]
    assert adapter.origin["split"] == "train"


def test_the_adapter_says_what_it_is_made_of(trained: Any, encoded: Lake, kolors: Path) -> None:
    _, adapter, root = trained
    origin = adapter.origin
    assert root.name == f"adapter-{origin['fp']}"
    assert origin["base"] == str(kolors)
    assert origin["tables"]["latents"] == encoded["latents"].manifest.digest
    text = json.loads((root / "result" / "adapter_config.json").read_text(encoding="utf-8"))
    assert text["fp"] == origin["fp"]


def test_a_finished_training_is_not_repeated(trained: Any, encoded: Lake, kolors: Path,
                                             monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr(stages, "Loop", None)
    curve, _, root = train(encoded, kolors)
    assert (curve, root) == (trained[0], trained[2])


@pytest.mark.parametrize(
    "changed",
    [
        {"compute_micro_batch": 1},
        {"compute_loader_workers": 1},
        {"compute_gradient_checkpointing": True},
    ],
)
def test_speed_and_memory_change_no_loss(
    trained: Any, encoded: Lake, kolors: Path, tmp_path: Path, changed: dict[str, Any]
) -> None:
    own = Lake(encoded.root, store=tmp_path)
    curve, _, _ = train(own, kolors, **changed)
    assert losses(curve) == pytest.approx(losses(trained[0]), rel=1e-4)


def test_out_of_memory_halves_what_is_computed_at_once_and_keeps_the_batch(
    trained: Any, encoded: Lake, kolors: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    params, own = adapter_params(kolors), Lake(encoded.root, store=tmp_path)
    rows = adapter_rows(own, params.train_adapter, "train", 0.0)
    validation = adapter_rows(own, params.train_adapter, "val", 0.0)
    loop = make_loop(own, params, rows, validation, *find_training(own, params, rows, validation))
    unbroken = loop.task.losses
    sizes: list[int] = []

    def short(batch: Any) -> Any:
        sizes.append(len(batch["latents"]))
        if sizes[-1] > 1:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return unbroken(batch)

    loop.task.losses = short  # type: ignore[method-assign]
    curve: Curve = []
    loop.run(lambda figures: curve.append(dict(figures)), quiet=True)
    assert sizes[0] == 3
    assert loop.micro_batch == 1
    assert "out of memory: 1 rows" in capsys.readouterr().err
    assert losses(curve) == pytest.approx(losses(trained[0]), rel=1e-4)


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_16_bits_lose_about_as_much(
    trained: Any, encoded: Lake, kolors: Path, tmp_path: Path, precision: str
) -> None:
    curve, adapter, _ = train(Lake(encoded.root, store=tmp_path), kolors, precision=precision)
    assert losses(curve) == pytest.approx(losses(trained[0]), rel=0.03)
    assert {each.dtype for each in adapter.parameters()} == {torch.float32}


def test_an_interrupted_training_goes_on_and_loses_the_same(
    trained: Any, encoded: Lake, kolors: Path, tmp_path: Path
) -> None:
    params, own = adapter_params(kolors), Lake(encoded.root, store=tmp_path)

    def stop(figures: Any) -> None:
        if figures["step"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_adapter(own, params, stop)
    curve, _, _ = train(own, kolors)
    assert losses(curve) == pytest.approx(losses(trained[0]), rel=1e-6)


def batches(lake: Lake, **changed: Any) -> AdapterBatches:
    chances = {"caption_dropout": 0.0, "box_dropout": 0.0, "mirrored": 0.0, **changed}
    latents, prompts = Latents(lake.path("latents")), Prompts(lake.path("prompts"))
    return AdapterBatches(latents, prompts, seed=0, min_area=0.0, min_visible=0.0, **chances)


def test_a_batch_is_what_the_lake_holds(encoded: Lake, kolors: Path) -> None:
    rows = adapter_rows(encoded, adapter_params(kolors).train_adapter, "train", 0.0)
    (place, *_) = np.flatnonzero(rows.groups == rows.groups[0])
    (row,) = rows.read([int(place)])
    made = batches(encoded)
    batch = made([row], [0])
    (latent,) = made.latents.take([row["sha256"]])
    assert torch.equal(batch["latents"][0], latent.latents)
    (states,) = made.prompts.take([row["caption"]])
    assert torch.equal(gather(batch)[0], states.expand())
    (name,) = made.prompts.take(["猫"])
    layout = layouts_of(batch)
    assert torch.equal(layout.names[0, 0], name.mean)
    crop = latent.crop
    wanted = crop.project(made.layouts([row])[0], min_area=0, min_visible=0)
    assert len(wanted) == 1
    assert batch["time_ids"][0].tolist() == [crop.height, crop.width, crop.top, crop.left,
                                             crop.height, crop.width]  # fmt: skip
    assert torch.equal(batch["noise"], made([row], [0])["noise"])
    assert not torch.equal(batch["noise"], made([row], [1])["noise"])


def test_mirrored_rows_have_mirrored_pictures_words_and_boxes(encoded: Lake, kolors: Path) -> None:
    rows = adapter_rows(encoded, adapter_params(kolors).train_adapter, "train", 0.0).read([0])
    plain, mirrored = batches(encoded)(rows, [0]), batches(encoded, mirrored=1.0)(rows, [0])
    (latent,) = batches(encoded).latents.take([rows[0]["sha256"]])
    assert torch.equal(mirrored["latents"][0], latent.mirrored)  # type: ignore[arg-type]
    swapped = swap_sides(rows[0]["caption"])
    assert swapped
    (states,) = batches(encoded).prompts.take([swapped])
    assert torch.equal(gather(mirrored)[0], states.expand())
    x1, y1, x2, y2 = mirrored["boxes"][0, 0].tolist()
    assert plain["boxes"][0, 0].tolist() == pytest.approx([1 - x2, y1, 1 - x1, y2], abs=1e-6)
    assert torch.equal(mirrored["noise"], plain["noise"])


def test_captions_and_boxes_are_withheld_as_often_as_asked(encoded: Lake, kolors: Path) -> None:
    rows = adapter_rows(encoded, adapter_params(kolors).train_adapter, "train", 0.0)
    some = rows.read([int(place) for place in np.flatnonzero(rows.groups == rows.groups[0])])
    made = batches(encoded, caption_dropout=0.3, box_dropout=0.4)
    (empty,) = made.prompts.take([""])
    withheld, silent, count = 0, 0, 0
    for epoch in range(60):
        batch = made(some, [epoch] * len(some))
        withheld += int((~batch["given"]).sum())
        silent += sum(torch.equal(each, empty.expand()) for each in gather(batch))
        count += len(some)
    assert not (batch["valid"].any(1) & ~batch["given"]).any()
    assert withheld / count == pytest.approx(0.4, abs=0.1)
    assert silent / count == pytest.approx(0.3, abs=0.1)


def test_rows_of_one_shape_share_a_batch_and_each_comes_once_an_epoch(
    encoded: Lake, kolors: Path
) -> None:
    from spatialgen.training.loader import Position, RowSampler

    rows = adapter_rows(encoded, adapter_params(kolors).train_adapter, "train", 0.0)
    sampler = RowSampler(rows, 3, 0, Position())
    seen, position, given = [], Position(), iter(sampler)
    while position.epoch == 0:
        places = [place for place, _ in next(given)]
        assert len({int(rows.groups[place]) for place in places}) == 1
        assert len(places) == sampler.together(position)
        seen += places
        position = position.after(len(places), len(rows))
    assert sorted(seen) == list(range(len(rows)))
    assert len({*rows.groups.tolist()}) == 2
    again = iter(RowSampler(rows, 3, 0, Position(0, len(seen[:3]))))
    first = iter(RowSampler(rows, 3, 0, Position()))
    next(first)
    assert next(again) == next(first), "it goes on where it stopped"


def test_pictures_without_boxes_are_mixed_in(encoded: Lake, kolors: Path) -> None:
    half = "row_id % 2 = 0"
    params = adapter_params(kolors, where=half, unboxed_share=0.25).train_adapter
    boxed = adapter_rows(encoded, params, "train", 0.0)
    mixed = adapter_rows(encoded, params, "train", params.unboxed_share)
    assert len(mixed) - len(boxed) == len(mixed.unboxed) == round(len(boxed) / 3)
    assert mixed.digest != boxed.digest
    for row in mixed.read(range(len(mixed))):
        assert row["boxed"] == (row["row_id"] % 2 == 0)
    rows = [row for row in mixed.read(range(len(mixed))) if not row["boxed"]]
    assert not batches(encoded)(rows[:1], [0])["given"].any()
    with pytest.raises(ParamsError, match=r"unboxed_share = 0.9 wants .* lower it"):
        adapter_rows(encoded, params, "train", 0.9)


def test_tables_of_another_generator_are_refused(encoded: Lake, tmp_path: Path) -> None:
    other = tiny_kolors(tmp_path / "other")
    (other / "added.json").write_text("{}")
    with pytest.raises(LakeError, match="lake/latents is of folder:"):
        train_adapter(encoded, adapter_params(other), lambda _: None)
