"""Filling the store's memos from lake/latents and lake/prompts, after `dvc pull`."""

from spatialgen.encode.stage import asked_pictures, asked_texts, pictures_stage, texts_stage
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import LATENTS, PROMPTS
from spatialgen.params import Params
from spatialgen.rows.seed import seed_parts


def seed_answers(lake: Lake, params: Params) -> int:
    """Give the store the answers in both tables, which must come from these params; how many are
    new."""
    pictures = pictures_stage(params.encode, params.compute, lake.path("images"))
    texts = asked_texts(lake, mirrored=params.encode.mirrored)
    return seed_parts(lake, LATENTS, pictures, asked_pictures(lake)) + seed_parts(
        lake, PROMPTS, texts_stage(params.encode, params.compute), texts
    )
