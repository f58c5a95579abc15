"""Prompts as a UNet is given them, without the copies of their pads.

Kolors pads every prompt on its left to 256 rows, and its UNet attends to them all. What the pads'
rows hold depends on the prompt, so they may not be left out, but those of one prompt are alike, bit
for bit: one of them and their number stand for all. In SDXL rows differ, and the number is 1.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

BITS = {torch.float32: torch.int32, torch.float16: torch.int16, torch.bfloat16: torch.int16}
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in BITS}


@dataclass(frozen=True, eq=False)
class PromptStates:
    """States of one text; both tensors are of one dtype: float32, float16 or bfloat16."""

    states: Tensor  # [rows, width]; the first row stands `pads` times
    pads: int  # >= 1
    pooled: Tensor  # [pooled_width]

    @classmethod
    def compact(cls, full: Tensor, pooled: Tensor) -> "PromptStates":
        """Of [tokens, width] states: rows equal to the first, up to one that is not, become one."""
        bits = full.view(BITS[full.dtype])
        alike = (bits == bits[0]).all(1)
        pads = int(alike.cumprod(0).sum())
        return cls(full[pads - 1 :].clone(), pads, pooled.clone())

    def expand(self) -> Tensor:
        """[tokens, width], bit for bit what `compact` was given."""
        return torch.cat([self.states[:1].expand(self.pads, -1), self.states[1:]])

    @property
    def mean(self) -> Tensor:
        """[width] float32: the mean of the states but the first, which is a pad or the start. It
        stands for a name: those of different things differ more in it than in `pooled`, whose state
        is the last word's alone (cosines of the small Kolors' 18 names: 0.19 for 0.56)."""
        return self.states[min(1, len(self.states) - 1) :].float().mean(0)

    @property
    def dtype(self) -> str:
        """float32, float16 or bfloat16."""
        return str(self.states.dtype).removeprefix("torch.")

    def to_bytes(self) -> tuple[bytes, bytes]:
        """States and pooled in C order; see `from_bytes`."""
        return _to_bytes(self.states), _to_bytes(self.pooled)

    @classmethod
    def from_bytes(
        cls, states: bytes, pooled: bytes, *, pads: int, rows: int, dtype: str
    ) -> "PromptStates":
        """What `to_bytes` wrote."""
        return cls(_from_bytes(states, dtype).view(rows, -1), pads, _from_bytes(pooled, dtype))


def _to_bytes(values: Tensor) -> bytes:
    bits = values.contiguous().view(BITS[values.dtype])  # NumPy has no bfloat16
    return bits.cpu().numpy().tobytes()


def _from_bytes(content: bytes, dtype: str) -> Tensor:
    kind = DTYPES[dtype]
    return torch.frombuffer(bytearray(content), dtype=BITS[kind]).view(kind)
