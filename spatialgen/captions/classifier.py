"""`CaptionClassifier`: the probability of each class of a caption, from any causal language model.

Nothing is generated. One forward gives the next-token logits after the prompt, of which only those
of the label tokens count: softmax over them is the answer. The prompt's prefix is the same for all
captions, so its keys and values are computed once and shared.
"""

import copy
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spatialgen.captions.prompt import PROBE, PromptTokens, tokenise_prompt
from spatialgen.errors import InputError, ParamsError
from spatialgen.model_loading import choose_device, load_network, local_or_hub

if TYPE_CHECKING:
    import torch
    from transformers import Cache, PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

CLASSES = ("strong", "weak", "none")
TOLERANCE, HALF_TOLERANCE = 1e-4, 0.05  # of a probability, in float32 and in 16 bit
MAX_CAPTION_TOKENS = 512  # ten times the longest caption of Wukong; more is no caption


class CaptionClassifier:
    """Scores captions with a causal language model; see `from_pretrained`.

    `prompt` holds `{caption}` once, `labels` are the answers to it by class, in CLASSES' order.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        *,
        prompt: str,
        labels: Mapping[str, str],
    ) -> None:
        self.model = model.train(False)
        self.tokenizer = tokenizer
        ordered = {name: labels[name] for name in CLASSES}
        self.tokens: PromptTokens = tokenise_prompt(tokenizer, prompt, ordered)
        taken = len(self.tokens.prefix) + len(self.tokens.suffix)
        context = int(getattr(model.config, "max_position_embeddings", None) or 2**31)
        self.max_caption_tokens = min(MAX_CAPTION_TOKENS, context - taken)
        if self.max_caption_tokens < 1:
            raise ParamsError(
                f"filter.prompt takes {taken} tokens, and the model reads {context}; shorten it"
            )
        self._prefix = self._prefix_cache()
        self._pads = True
        self._find_exact_way()

    @classmethod
    def from_pretrained(
        cls,
        model: str,
        *,
        prompt: str,
        labels: Mapping[str, str],
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
    ) -> "CaptionClassifier":
        """Load a local folder or hub id with AutoModelForCausalLM, safetensors only.

        device: auto (cuda where there is one), cpu, cuda, cuda:1... dtype: auto (bfloat16 on GPUs
        that have it, float16 on others, float32 on CPUs), or one of these names. Raises InputError
        where the model does not load, ParamsError where prompt or labels do not fit it.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = local_or_hub(model)
        try:
            place = choose_device(device)
            tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)
            network = load_network(AutoModelForCausalLM, model, revision, place, dtype)
            if not tokenizer.encode(PROBE):
                raise ValueError("its tokenizer has no vocabulary")
        except Exception as error:  # each of its many parts has errors of its own
            raise InputError(
                f"filter.model = {model} does not load on {device} "
                f"({' '.join(str(error).split())[:300]}); give a folder or hub id with "
                "config.json, tokenizer.json, model.safetensors, and a compute.device that exists"
            ) from None
        return cls(network, tokenizer, prompt=prompt, labels=labels)

    @property
    def shares_prefix(self) -> bool:
        """Whether the prompt's prefix is computed once for all captions."""
        return self._prefix is not None

    def tokenise(self, captions: Sequence[str]) -> list[list[int]]:
        """Token ids of each caption, special tokens spelled out as text."""
        if not captions:
            return []
        encoded = self.tokenizer(
            list(captions), add_special_tokens=False, split_special_tokens=True
        )
        return [list(ids) for ids in encoded["input_ids"]]

    def probabilities(self, captions: Sequence[list[int]]) -> NDArray[np.float32]:
        """[n, 3] probabilities in CLASSES' order of `n` tokenised captions, in one forward.

        Each has at most `max_caption_tokens` ids; shorter ones are padded on the left, between the
        shared prefix and the caption, which is masked and changes nothing.
        """
        import torch

        if not captions:
            return np.zeros((0, len(CLASSES)), np.float32)
        if not self._pads and len(set(map(len, captions))) > 1:
            return self._by_length(captions)
        with torch.inference_mode():
            logits = self._next_token_logits([[*ids, *self.tokens.suffix] for ids in captions])
            labels = logits[:, self.tokens.labels].float().softmax(-1)
        result: NDArray[np.float32] = labels.cpu().numpy()
        return result

    def _by_length(self, captions: Sequence[list[int]]) -> NDArray[np.float32]:
        found = np.zeros((len(captions), len(CLASSES)), np.float32)
        lengths = np.array([len(ids) for ids in captions])
        for length in np.unique(lengths):
            rows = np.nonzero(lengths == length)[0]
            found[rows] = self.probabilities([captions[int(row)] for row in rows])
        return found

    def _find_exact_way(self) -> None:
        """Keep to whole prompts, or to captions of one length, where the model's answers need it.

        Some architectures place tokens by their position in the batch, or read through padding.
        """
        probes = self.tokenise([PROBE, PROBE[:2], PROBE * 3])
        prefix, self._prefix = self._prefix, None
        alone = np.concatenate([self.probabilities([ids]) for ids in probes])
        if prefix is not None:
            self._prefix = prefix
            if self._agrees(probes, alone):
                return
            logger.info("%s shares no prefix: answers would differ", type(self.model).__name__)
            self._prefix = None
        self._pads = self._agrees(probes, alone)

    def _agrees(self, probes: list[list[int]], alone: NDArray[np.float32]) -> bool:
        tolerance = TOLERANCE if self.model.dtype.itemsize >= 4 else HALF_TOLERANCE
        difference = np.abs(self.probabilities(probes) - alone)
        return not (difference > tolerance).any()  # NaN is for the batches to report

    def _next_token_logits(self, tails: list[list[int]]) -> "torch.Tensor":
        import torch

        prefix = self.tokens.prefix
        if self._prefix is None:  # this kind of model cannot share it
            tails, past = [[*prefix, *tail] for tail in tails], 0
        else:
            past = len(prefix)
        inputs: dict[str, Any] = {
            name: torch.from_numpy(values).to(self.model.device)
            for name, values in pad_left(tails, past=past, pad=self._pad_id()).items()
        }
        if self._prefix is not None:
            inputs["cache"] = _shared(self._prefix, len(tails))
        use_cache = self._prefix is not None
        logits: torch.Tensor = self.model(**inputs, use_cache=use_cache, logits_to_keep=1).logits
        return logits[:, -1]

    def _prefix_cache(self) -> "Cache | None":
        """Keys and values of the prefix, batch 1; None for models that keep more or less than that.

        A sliding window counts the padding too, and a recurrent state goes through it.
        """
        import torch
        from transformers import DynamicCache
        from transformers.cache_utils import DynamicLayer

        if not self.tokens.prefix:
            return None
        ids = torch.tensor([self.tokens.prefix], device=self.model.device)
        with torch.inference_mode():
            output = self.model(ids, use_cache=True, logits_to_keep=1)
        cache = getattr(output, "cache", None)
        if isinstance(cache, DynamicCache) and all(type(x) is DynamicLayer for x in cache.layers):
            return cache
        return None

    def _pad_id(self) -> int:
        pad = self.tokenizer.pad_token_id
        return int(pad if pad is not None else self.tokens.suffix[-1])  # masked, so any will do


def pad_left(tails: Sequence[list[int]], *, past: int, pad: int) -> dict[str, NDArray[np.int64]]:
    """`input_ids` [n, width], `attention_mask` [n, past + width] and `position_ids` [n, width] of
    token rows that follow `past` tokens already in the cache; padding is masked and takes no place.
    """
    width = max(map(len, tails))
    ids = np.full((len(tails), width), pad, np.int64)
    mask = np.zeros((len(tails), past + width), np.int64)
    mask[:, :past] = 1
    for row, tail in enumerate(tails):
        ids[row, width - len(tail) :] = tail
        mask[row, past + width - len(tail) :] = 1
    positions = np.maximum(mask.cumsum(1) - 1, 0)[:, past:]
    return {"input_ids": ids, "attention_mask": mask, "position_ids": positions}


def _shared(prefix: "Cache", rows: int) -> "Cache":
    """The prefix's keys and values for `rows` rows, as views: the forward appends by copying."""
    shared: Any = copy.copy(prefix)
    shared.layers = [copy.copy(layer) for layer in prefix.layers]
    for layer in shared.layers:
        layer.keys = layer.keys.expand(rows, -1, -1, -1)
        layer.values = layer.values.expand(rows, -1, -1, -1)
    result: Cache = shared
    return result
