"""Stage encode: lake/boxes, lake/images, lake/captions -> lake/latents, lake/prompts,
metrics/encode.json.

dvc repro encode
dvc exp run -S encode.resolution=128        # new latents; prompts are not paid again
dvc exp run -S encode.model=/data/kolors -S encode.resolution=1024 -S encode.step=64
"""

from spatialgen.encode.metrics import count_encoded
from spatialgen.encode.stage import asked_pictures, asked_texts, pictures_stage, texts_stage
from spatialgen.lake.lake import Lake
from spatialgen.lake.parts import PartStore
from spatialgen.lake.schemas import LATENTS, PROMPTS
from spatialgen.metrics import write_metrics
from spatialgen.params import load_params
from spatialgen.project import guard
from spatialgen.rows.engine import answer_rows
from spatialgen.rows.publish import publish_parts
from spatialgen.rows.runner import Inline


def main() -> None:
    params = load_params()
    lake = Lake("lake")
    mirrored = params.encode.mirrored
    pictures = pictures_stage(params.encode, params.compute, lake.path("images"))
    texts = texts_stage(params.encode, params.compute)
    published = []
    for spec, stage, asked in (
        (LATENTS, pictures, asked_pictures(lake)),
        (PROMPTS, texts, asked_texts(lake, mirrored=mirrored)),
    ):
        with lake.run(stage.name, stage.fp) as run:
            parts = PartStore(lake, spec)
            runner = Inline(params.compute.device)
            run.add(**vars(answer_rows(lake, stage, asked, runner, attachments=parts)))
            published.append(publish_parts(lake, spec, stage, asked))
    metrics = count_encoded(lake, *published, mirrored=mirrored)
    print(
        f"{metrics['latent_bytes_per_row']} bytes per picture, "
        f"{metrics['prompt_bytes_per_row']} per text "
        f"({metrics['full_prompt_bytes_per_row']} with all of its pads)"
    )
    write_metrics("encode", metrics)


if __name__ == "__main__":
    guard(main)
