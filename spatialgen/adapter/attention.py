"""The adapter's part of one attention layer: its pixels look at the things of the layout.

Attention to grounding tokens follows GLIGEN (arXiv:2301.07093); here it is as narrow as LoRA's
matrices (arXiv:2106.09685), so that all layers together stay below five percent of the UNet, it is
bent towards the box of each thing, and it tells a pixel which part of the thing it is.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spatialgen.adapter.control import Control


class GroundedAttention(nn.Module):
    """Hidden states -> what is added to the layer's output.

    The output projection is the one factor that is zero in the beginning, so the UNet starts as it
    is, and the projection has a gradient in the first step and everything else from the second on.
    """

    def __init__(
        self, hidden: int, width: int, token_width: int, heads: int, frequencies: int, factor: int
    ) -> None:
        """`hidden`: width of the layer's hidden states; `width`: of this attention; `factor`: by
        which the layer's grid is smaller than the latents."""
        super().__init__()
        self.heads, self.factor = heads, factor
        features = 8 * frequencies
        self.query = nn.Linear(hidden, width, bias=False)
        self.place = nn.Linear(features, width, bias=False)
        self.key = nn.Linear(token_width, width, bias=False)
        self.value = nn.Linear(token_width, width, bias=False)
        self.inside = nn.Linear(features, width, bias=False)
        self.output = nn.Linear(width, hidden)
        self.gate = nn.Parameter(torch.ones(()))  # starts open: two zeros would stay for ever
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.watched = False  # whether to keep output_norm; it costs a little
        self.output_norm: Tensor | None = None  # of the last output, relative to the hidden states

    def forward(self, hidden: Tensor, control: Control) -> Tensor:
        """[n, pixels, hidden] of [n, pixels, hidden] normalised hidden states; each pixel's norm is
        below that of its hidden states."""
        seen = hidden.to(self.output.weight.dtype)
        grid = control.grids[self.factor]
        tokens = control.tokens.to(seen.dtype)
        query = self._split(self.query(seen) + self.place(grid.place.to(seen.dtype)))
        key, value = self._split(self.key(tokens)), self._split(self.value(tokens))
        logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
        shares = (logits.float() + grid.bias).softmax(-1).to(value.dtype)  # [n, heads, p, 1 + o]
        mixed = (shares @ value).transpose(1, 2).flatten(2)
        # A weighted mean of the boxes' features, so that of two boxes that overlap the one that a
        # pixel chose says which part it is.
        part = torch.einsum("npo,npof->npf", shares.mean(1)[..., 1:], grid.inside.to(shares.dtype))
        added = self.gate * self.output(F.silu(mixed + self.inside(part.to(seen.dtype))))
        return self._limit(added, hidden)

    def _split(self, states: Tensor) -> Tensor:
        return states.view(*states.shape[:2], self.heads, -1).transpose(1, 2)

    def _limit(self, added: Tensor, hidden: Tensor) -> Tensor:
        """Shorten each pixel's vector so that it stays below its hidden states': hardly where it is
        small, and never to none."""
        # Norms keep their argument for the backward pass as it is; squares would keep a copy in 32
        # bits, of 2 GB over all layers of Kolors.
        lengths = [torch.linalg.vector_norm(each, dim=-1, keepdim=True, dtype=torch.float32)
                   for each in (added, hidden)]  # fmt: skip
        ratio = (lengths[0] / lengths[1].clamp(min=1e-3)).square()
        if self.watched:
            self.output_norm = (ratio / (1 + ratio)).detach().sqrt().mean()
        return added * torch.rsqrt(1 + ratio).to(added.dtype)
