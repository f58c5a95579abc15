"""Kolors' and SDXL's networks in their true sizes, and what they would compute and keep.

They are on the meta device, which knows shapes and no values, so that none of this needs weights or
memory. Configs are those of stabilityai/stable-diffusion-xl-base-1.0, Kwai-Kolors/Kolors-diffusers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.pipelines.kolors.text_encoder import ChatGLMConfig, ChatGLMModel
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from spatialgen.adapter.adapter import AdapterConfig, Preset, SpatialAdapter
from spatialgen.adapter.control import LayoutBatch

SDXL: dict[str, Any] = {
    "sample_size": 128,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
    "use_linear_projection": True,
}
KOLORS: dict[str, Any] = {
    **SDXL,
    "encoder_hid_dim": 4096,
    "encoder_hid_dim_type": "text_proj",
    "projection_class_embeddings_input_dim": 5632,
}
UNETS = {"kolors": KOLORS, "sdxl": SDXL}
NAME_WIDTHS = {"kolors": 4096, "sdxl": 1280}  # of the text encoders' pooled states
AUTOENCODER: dict[str, Any] = {
    "sample_size": 1024,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
}
CHATGLM: dict[str, Any] = {
    "num_layers": 28,
    "hidden_size": 4096,
    "ffn_hidden_size": 13696,
    "kv_channels": 128,
    "num_attention_heads": 32,
    "multi_query_attention": True,
    "multi_query_group_num": 2,
    "padded_vocab_size": 65024,
    "add_qkv_bias": True,
    "original_rope": True,
}
ADAPTER: dict[str, Any] = {"width": 128, "token_width": 768, "heads": 8, "frequencies": 8}
TOKENS = 256  # to which Kolors' pipeline fills prompts up
THINGS = 8  # of a layout


def make_unet(kind: str) -> nn.Module:
    """The UNet of "kolors" or "sdxl"."""
    with torch.device("meta"):
        unet: nn.Module = UNet2DConditionModel(**UNETS[kind])
    return unet


def make_adapter(unet: nn.Module, name_width: int, preset: Preset) -> SpatialAdapter:
    """An adapter for it in the sizes that are recommended for Kolors."""
    config = AdapterConfig.of_unet(unet, name_width, adapter_layers=preset, **ADAPTER)
    with torch.device("meta"):
        return SpatialAdapter(config)


def make_autoencoder() -> Any:
    """SDXL's autoencoder, which is Kolors', too."""
    with torch.device("meta"):
        return AutoencoderKL(**AUTOENCODER)


def make_chatglm() -> nn.Module:
    """ChatGLM3-6B, Kolors' text encoder."""
    encoder: nn.Module = ChatGLMModel(ChatGLMConfig(**CHATGLM), device="meta")
    return encoder


def size_of(module: nn.Module) -> int:
    """How many parameters it has."""
    return sum(each.numel() for each in module.parameters())


def kolors_inputs(rows: int, cells: int, dtype: torch.dtype = torch.float32) -> dict[str, Any]:
    """What Kolors' UNet is given for latents of cells x cells."""

    def empty(*shape: int) -> Tensor:
        return torch.empty(rows, *shape, device="meta", dtype=dtype)

    return {
        "sample": empty(4, cells, cells),
        "timestep": torch.empty(rows, device="meta"),
        "encoder_hidden_states": empty(TOKENS, NAME_WIDTHS["kolors"]),
        "added_cond_kwargs": {
            "text_embeds": empty(NAME_WIDTHS["kolors"]),
            "time_ids": empty(6),
        },
    }


def make_layouts(rows: int, width: int = NAME_WIDTHS["kolors"]) -> LayoutBatch:
    """Layouts of THINGS things."""
    with torch.device("meta"):
        return LayoutBatch(
            torch.empty(rows, THINGS, width),
            torch.empty(rows, THINGS, 4),
            torch.empty(rows, THINGS, dtype=torch.bool),
            torch.empty(rows, dtype=torch.bool),
        )


class FusedAttention(TorchFunctionMode):
    """Attention without a mask by the fused kernel, where the meta device would take it apart."""

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is F.scaled_dot_product_attention and kwargs.get("attn_mask") is None:
            return torch.ops.aten._scaled_dot_product_flash_attention(*args[:3])[0]
        return function(*args, **kwargs)


NARROW = {F.linear, F.conv2d, torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.einsum}
WIDE = {F.layer_norm, F.group_norm, F.softmax, Tensor.softmax, torch.sum, Tensor.sum, torch.rsqrt}


class Autocast(TorchFunctionMode):
    """What torch.autocast does on CUDA, which there is none of for the meta device: of its lists
    (PyTorch's page on automatic mixed precision), the functions that the UNet and the adapter call.
    """

    def __init__(self) -> None:
        super().__init__()
        self.casts: dict[int, Tensor] = {}  # of trained weights: made once, kept for the step

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        for functions, kind in ((NARROW, torch.float16), (WIDE, torch.float32)):
            if function in functions:
                args = [self._cast(each, kind) for each in args]
                kwargs = {name: self._cast(each, kind) for name, each in kwargs.items()}
        return function(*args, **kwargs)

    def _cast(self, value: Any, kind: torch.dtype) -> Any:
        if not isinstance(value, Tensor) or not value.is_floating_point() or value.dtype is kind:
            return value
        if not (isinstance(value, nn.Parameter) and value.requires_grad):
            return value.to(kind)
        if id(value) not in self.casts:
            self.casts[id(value)] = value.to(kind)
        return self.casts[id(value)]


@dataclass
class Saved:
    """What autograd keeps for a backward pass; storages count once, weights not."""

    weights: set[int]  # their storages
    storages: dict[int, torch.UntypedStorage] = field(default_factory=dict)

    @classmethod
    def beside(cls, *modules: nn.Module) -> "Saved":
        """That is neither a parameter of these nor a view of one."""
        owned = (each for module in modules for each in module.parameters())
        return cls({_storage(each) for each in owned})

    def keep(self, tensor: Tensor) -> Tensor:
        """Note a tensor; the storage is held, so that no other gets its number."""
        if _storage(tensor) not in self.weights:
            self.storages[_storage(tensor)] = tensor.untyped_storage()
        return tensor

    def size(self, without: Mapping[int, Tensor]) -> int:
        """Bytes of all but these."""
        left_out = {_storage(each) for each in without.values()}
        counted = (each for key, each in self.storages.items() if key not in left_out)
        return sum(int(each.nbytes()) for each in counted)


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def operations(run: Callable[[], Any]) -> int:
    """Of a call, without gradients."""
    with FusedAttention(), torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())
