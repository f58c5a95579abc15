"""Planners with random weights, in real model classes."""

from pathlib import Path

from spatialgen.planner.planner import LayoutPlanner
from tests.captions.models import tiny_qwen2, tiny_tokenizer

BINS = 16
CAPTIONS = ["左边一只小猫，右边一只小狗", "草地上有三只羊", "苹果在 red 桌子上面"]


def tiny_planner(folder: Path) -> LayoutPlanner:
    """An untrained planner of a model that is saved at folder/base."""
    base = folder / "base"
    tiny_qwen2().save_pretrained(base)
    tiny_tokenizer().save_pretrained(base)
    return LayoutPlanner.from_base(str(base), bins=BINS)
