"""spatialgen: from raw (url, caption) rows to spatially controlled Chinese image generation.

The public names load on first use, so that `import spatialgen` stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spatialgen.adapter.adapter import SpatialAdapter
    from spatialgen.errors import SpatialgenError
    from spatialgen.lake.ids import fingerprint, row_id
    from spatialgen.lake.lake import Lake, Table
    from spatialgen.pipelines.kolors import KolorsSpatialPipeline
    from spatialgen.pipelines.sdxl import StableDiffusionXLSpatialPipeline
    from spatialgen.planner.planner import LayoutPlanner

__all__ = [
    "KolorsSpatialPipeline",
    "Lake",
    "LayoutPlanner",
    "SpatialAdapter",
    "SpatialgenError",
    "StableDiffusionXLSpatialPipeline",
    "Table",
    "fingerprint",
    "row_id",
]

_HOME = {
    "KolorsSpatialPipeline": "spatialgen.pipelines.kolors",
    "Lake": "spatialgen.lake.lake",
    "LayoutPlanner": "spatialgen.planner.planner",
    "SpatialAdapter": "spatialgen.adapter.adapter",
    "SpatialgenError": "spatialgen.errors",
    "StableDiffusionXLSpatialPipeline": "spatialgen.pipelines.sdxl",
    "Table": "spatialgen.lake.lake",
    "fingerprint": "spatialgen.lake.ids",
    "row_id": "spatialgen.lake.ids",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'spatialgen' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
