"""An encoded lake whose rows train an adapter, with a random tiny Kolors."""

from pathlib import Path
from typing import Any

from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import SPLITS
from spatialgen.params import Params, load_params
from tests.conftest import REPOSITORY, compute_params
from tests.encode.lakes import encode, fill_boxed, noise, params_of
from tests.tables import publish, split

ROWS = 14  # every seventh validates
SHAPES = [(128, 128), (128, 128), (160, 100)]
SMALL: dict[str, Any] = {
    "where": "boxes.error is null",
    "width": 8, "token_width": 16, "heads": 2, "frequencies": 2,
    "steps": 6, "batch": 3, "every": 3,
}  # fmt: skip


def captions() -> list[str]:
    return [f"猫在{n}号箱子的左边" for n in range(ROWS)]


def encoded_lake(folder: Path, kolors: Path) -> Lake:
    """Its rows have a box named 猫 each, in pictures of two shapes."""
    lake = Lake(folder / "lake", store=folder / ".lake")
    pictures = [noise(n, SHAPES[n % len(SHAPES)]) for n in range(ROWS)]
    fill_boxed(lake, captions(), pictures)
    row_ids = sorted(lake["boxes"].dataset().to_table(columns=["row_id"])["row_id"].to_pylist())
    parts = ["val" if place % 7 == 0 else "train" for place in range(ROWS)]
    publish(lake, SPLITS, [split(*row) for row in zip(row_ids, parts, strict=True)])
    encode(lake, params_of(kolors))
    return lake


def adapter_params(kolors: Path, **changed: Any) -> Params:
    """The repository's params, much smaller; `compute_...` changes that section."""
    params = load_params(REPOSITORY / "params.yaml")
    computing = {name.removeprefix("compute_"): changed.pop(name)
                 for name in [*changed] if name.startswith("compute_")}  # fmt: skip
    compute = compute_params(**{"device": "cpu", "threads": 1, "loader_workers": 0} | computing)
    section = params.train_adapter.model_copy(update={**SMALL, **changed})
    return params.model_copy(
        update={"encode": params_of(kolors), "train_adapter": section, "compute": compute}
    )
