"""metrics/encode.json: how many rows there are, and the bytes they take."""

from typing import Any

from spatialgen.lake import duck
from spatialgen.lake.lake import Lake
from spatialgen.rows.publish import Published

LATENT_BYTES = "2 * channels * height * width"  # float16
ITEM_BYTES = "if(dtype = 'float32', 4, 2)"


def count_encoded(
    lake: Lake, latents: Published, prompts: Published, *, mirrored: bool
) -> dict[str, Any]:
    """What the two published tables hold; bytes are means over their rows, of the values alone."""
    connection = duck.connect()
    try:
        for name in ("latents", "prompts"):
            connection.register(name, lake[name].dataset())
        buckets = connection.execute(
            """select target_width || 'x' || target_height, count(*) from latents
               group by target_width, target_height order by target_width / target_height"""
        ).fetchall()
        ((latent_bytes,),) = connection.execute(
            f"select coalesce(avg({LATENT_BYTES}), 0) from latents"
        ).fetchall()
        ((prompt_bytes, full_bytes),) = connection.execute(
            f"""select coalesce(avg({ITEM_BYTES} * (rows * width + pooled_width)), 0),
                       coalesce(avg({ITEM_BYTES} * ((pads + rows - 1) * width + pooled_width)), 0)
                from prompts"""
        ).fetchall()
    finally:
        connection.close()
    return {
        "pictures": latents.manifest.rows,
        "failed": latents.failed,
        "texts": prompts.manifest.rows,
        "failed_texts": prompts.failed,
        "latent_bytes_per_row": round(latent_bytes * (1 + mirrored)),
        "prompt_bytes_per_row": round(prompt_bytes),
        "full_prompt_bytes_per_row": round(full_bytes),
        "buckets": dict(buckets),
    }
