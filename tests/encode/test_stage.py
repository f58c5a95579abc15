"""Stage encode on a real lake: what is asked, what is kept, what is computed once."""

import dataclasses
import io

import lance
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from spatialgen.encode.buckets import Buckets
from spatialgen.encode.generator import Generator
from spatialgen.encode.metrics import count_encoded
from spatialgen.encode.seed import seed_answers
from spatialgen.encode.stage import asked_pictures, asked_texts, pictures_stage, texts_stage
from spatialgen.encode.tables import Latents, Prompts
from spatialgen.errors import LakeError, ParamsError
from spatialgen.lake.lake import Lake
from spatialgen.lake.parts import PartStore
from spatialgen.lake.schemas import LATENTS
from spatialgen.lake.upkeep import seed_store
from spatialgen.params import load_params
from spatialgen.rows.engine import answer_rows
from spatialgen.rows.publish import publish_parts
from spatialgen.rows.runner import Inline
from tests.conftest import REPOSITORY
from tests.encode.lakes import (
    CAPTIONS,
    COMPUTE,
    SIZES,
    encode,
    fill_boxed,
    four_rows,
    noise,
    params_of,
)

TEXTS = {
    *CAPTIONS,
    "小猫在箱子的右边",
    "箱子在小猫左边",
    "猫",
    "",
}  # 左右两边 has no mirrored wording


def test_texts_are_captions_mirrored_captions_names_and_nothing(lake):
    four_rows(lake)
    assert set(asked_texts(lake, mirrored=True)["text"].to_pylist()) == TEXTS
    plain = asked_texts(lake, mirrored=False)
    assert set(plain["text"].to_pylist()) == {*CAPTIONS, "猫", ""}
    assert plain["row_id"].to_pylist() == sorted(plain["row_id"].to_pylist())


def test_pictures_and_texts_are_what_the_generator_gives(lake, kolors):
    digests = four_rows(lake)
    params = params_of(kolors)
    counts, published = encode(lake, params)
    assert [each.computed for each in counts] == [4, len(TEXTS)]
    assert [(each.manifest.rows, each.failed) for each in published] == [(4, 0), (len(TEXTS), 0)]
    generator = Generator.read(params.model, None)
    autoencoder = generator.load_pictures("cpu", "auto")
    order = [digests[caption] for caption in CAPTIONS]
    for number, latent in enumerate(Latents(lake.path("latents")).take(order)):
        picture = Image.open(io.BytesIO(noise(number, SIZES[number])))
        crop = Buckets(params.resolution, params.step, params.max_aspect).of(*picture.size)
        assert latent.crop == crop
        assert (latent.picture_width, latent.picture_height) == SIZES[number]
        for cut, found in (
            (crop.show(picture), latent.latents),
            (ImageOps.mirror(crop.show(picture)), latent.mirrored),
        ):
            (wanted,) = autoencoder.encode_pictures([cut])
            assert found is not None
            assert torch.allclose(found, wanted, atol=5e-3)  # float16, at values of a few units
    texts = sorted(TEXTS)
    wanted = generator.load_texts("cpu", "auto").encode_texts(texts)
    for ours, other in zip(Prompts(lake.path("prompts")).take(texts), wanted, strict=True):
        assert ours.pads == other.pads
        assert torch.allclose(ours.expand(), other.expand(), atol=1e-5)
        assert torch.allclose(ours.pooled, other.pooled, atol=1e-5)


def test_a_second_run_and_old_params_compute_nothing(lake, kolors, sdxl):
    four_rows(lake)
    _, first = encode(lake, params_of(kolors))
    counts, again = encode(lake, params_of(kolors))
    assert [each.computed for each in counts] == [0, 0]
    assert again == first
    larger = params_of(kolors, resolution=96, mirrored=False)
    counts, others = encode(lake, larger)
    assert [each.computed for each in counts] == [4, 0], "prompts do not depend on the resolution"
    assert others[0] != first[0]
    (latent,) = Latents(lake.path("latents")).take([four_rows(lake)[CAPTIONS[1]]])
    assert (tuple(latent.latents.shape), latent.mirrored) == ((4, 24, 24), None)
    encode(lake, params_of(sdxl))
    counts, back = encode(lake, params_of(kolors))
    assert [each.computed for each in counts] == [0, 0]
    assert back == first


def test_added_rows_compute_only_themselves(lake, kolors):
    captions, files = [*CAPTIONS[:2]], [noise(0), noise(1)]
    fill_boxed(lake, captions, files)
    encode(lake, params_of(kolors))
    fill_boxed(lake, [*captions, "椅子在桌子左边", "小猫"], [*files, noise(2), noise(0)])
    counts, published = encode(lake, params_of(kolors))
    assert [each.computed for each in counts] == [1, 3], "one picture, two captions, one mirrored"
    assert published[0].manifest.rows == 3, "a picture of two rows is there once"


def test_a_damaged_picture_fails_for_good_and_its_neighbours_do_not(lake, kolors):
    files = [noise(n) for n in range(4)]
    files[2] = files[2][:500]
    digests = fill_boxed(lake, CAPTIONS, files)
    counts, (latents, prompts) = encode(lake, params_of(kolors))
    assert (counts[0].computed, counts[0].failed) == (4, 1)
    assert (latents.manifest.rows, latents.failed, prompts.failed) == (3, 1, 0)
    memo = lake.stores()["encode_pictures"].to_table().to_pylist()
    (failed,) = [row for row in memo if row["error"] is not None]
    assert (failed["status"], failed["error"][:20]) == ("permanent", "unreadable_picture: ")
    assert encode(lake, params_of(kolors))[0][0].computed == 0
    with pytest.raises(LakeError, match=f"lacks sha256 '{digests[CAPTIONS[2]]}'"):
        Latents(lake.path("latents")).take([digests[caption] for caption in CAPTIONS])


def test_memory_that_is_short_halves_the_batch(lake, kolors):
    four_rows(lake)
    stage = pictures_stage(params_of(kolors), COMPUTE, lake.path("images"))
    opened = stage.open("cpu")
    inner, sizes = opened.encoder.encode_pictures, []

    def cramped(pictures):
        sizes.append(len(pictures))
        if len(pictures) > 1:
            raise MemoryError("out of memory")
        return inner(pictures)

    opened.encoder.encode_pictures = cramped
    stage = dataclasses.replace(stage, open=lambda device: opened)
    counts, _ = _answer(lake, stage)
    assert (counts.computed, counts.failed) == (4, 0)
    assert max(sizes) > 1


def _answer(lake, stage):
    asked = asked_pictures(lake)
    parts = PartStore(lake, LATENTS)
    return answer_rows(lake, stage, asked, Inline("cpu"), attachments=parts, quiet=True), asked


def test_pictures_of_a_bucket_are_encoded_together(lake, kolors):
    four_rows(lake)
    stage = pictures_stage(params_of(kolors, mirrored=False), COMPUTE, lake.path("images"))
    opened = stage.open("cpu")
    inner, shapes = opened.encoder.encode_pictures, []

    def noted(pictures):
        shapes.append([picture.size for picture in pictures])
        return inner(pictures)

    opened.encoder.encode_pictures = noted
    _answer(lake, dataclasses.replace(stage, open=lambda device: opened))
    assert sorted(shapes) == [[(48, 96)], [(64, 64)] * 2, [(80, 48)]]


def test_what_the_store_lost_is_named(lake, kolors):
    four_rows(lake)
    params = params_of(kolors)
    encode(lake, params)
    stage = pictures_stage(params, COMPUTE, lake.path("images"))
    memo, rows = (lake.store_root / "store" / f"{n}.lance" for n in (stage.name, "latents"))
    lance.dataset(str(rows)).delete("width = 16")
    with pytest.raises(LakeError, match=r"lacks the rows of .*latents\.lance of 2 of 4 questions"):
        publish_parts(lake, LATENTS, stage, asked_pictures(lake))
    lance.dataset(str(memo)).delete("true")
    with pytest.raises(LakeError, match="lacks the answers of 4 of 4 questions"):
        publish_parts(lake, LATENTS, stage, asked_pictures(lake))


def test_metrics_say_what_rows_take(lake, kolors):
    four_rows(lake)
    _, (latents, prompts) = encode(lake, params_of(kolors))
    metrics = count_encoded(lake, latents, prompts, mirrored=True)
    assert metrics["buckets"] == {"48x96": 1, "64x64": 2, "80x48": 1}
    cells = np.array([12 * 24, 16 * 16, 16 * 16, 20 * 12])
    assert metrics["latent_bytes_per_row"] == round(2 * 2 * 4 * cells.mean())
    states = Prompts(lake.path("prompts")).take(sorted(TEXTS))
    held = [4 * (each.states.numel() + each.pooled.numel()) for each in states]
    assert metrics["prompt_bytes_per_row"] == round(np.mean(held))
    full = [4 * (each.expand().numel() + each.pooled.numel()) for each in states]
    assert metrics["full_prompt_bytes_per_row"] == round(np.mean(full)) > 5 * np.mean(held)
    assert (metrics["pictures"], metrics["texts"], metrics["failed"]) == (4, len(TEXTS), 0)


def test_params_that_change_answers_change_the_fingerprint(lake, kolors, sdxl):
    params, images = params_of(kolors), lake.root
    of_pictures, of_texts = pictures_stage(params, COMPUTE, images), texts_stage(params, COMPUTE)
    for changed in (
        {"dtype": "bfloat16"},
        {"model": str(sdxl)},
        {"resolution": 96},
        {"step": 32},
        {"max_aspect": 3.0},
        {"mirrored": False},
    ):
        other = params.model_copy(update=changed)
        assert pictures_stage(other, COMPUTE, images).fp != of_pictures.fp, changed
        kept = changed.keys() & {"dtype", "model"}
        assert (texts_stage(other, COMPUTE).fp != of_texts.fp) == bool(kept), changed
    again = params.model_copy(update={"attempt": 2})
    assert pictures_stage(again, COMPUTE, images).fp == of_pictures.fp
    with pytest.raises(ParamsError, match=r"encode\.step = 24 is no multiple"):
        pictures_stage(params.model_copy(update={"step": 24}), COMPUTE, images)


def test_a_pulled_table_is_known_to_a_new_store(lake, kolors, tmp_path):
    four_rows(lake)
    params = params_of(kolors)
    encode(lake, params)
    whole = load_params(REPOSITORY / "params.yaml").model_copy(
        update={"encode": params, "compute": COMPUTE}
    )
    clone = Lake(lake.root, store=tmp_path / "store")
    seed_store(clone)
    asked = asked_pictures(clone).num_rows + asked_texts(clone, mirrored=True).num_rows
    assert seed_answers(clone, whole) == asked
    assert seed_answers(clone, whole) == 0
    counts, _ = encode(clone, params)
    assert [each.computed for each in counts] == [0, 0]
