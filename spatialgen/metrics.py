"""metrics/<stage>.json: nested numbers under stable keys, for git and `dvc metrics diff`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_metrics(stage: str, metrics: Mapping[str, Any], folder: Path | str = "metrics") -> None:
    """Write the metrics of one stage."""
    path = Path(folder) / f"{stage}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
