"""`BoxAnnotator`: boxes of named things, from Qwen2-VL, Qwen2.5-VL and Qwen3-VL checkpoints."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from PIL import Image

from spatialgen.errors import InputError
from spatialgen.grounding.families import Family, family_of
from spatialgen.grounding.pictures import UnreadableError
from spatialgen.model_loading import choose_device, load_network, local_or_hub

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


MOST_ASPECT = 200  # long to short side that Qwen's image processors take


@dataclass(frozen=True)
class Prepared:
    """A picture as the model takes it."""

    patches: "torch.Tensor"  # [grid height x grid width, channels of a patch]
    grid: "torch.Tensor"  # [3] frames, height, width in patches
    width: int  # pixels, as it was resized
    height: int


@dataclass(frozen=True)
class Written:
    """A model's answer."""

    text: str  # special tokens included, without end and padding
    finished: bool  # False where max_new_tokens cut it off


class BoxAnnotator:
    """Asks a vision-language model about pictures; see `from_pretrained`.

    The image processor and the tokenizer are loaded apart: together, as a processor, they need
    torchvision, which these models do not.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        image_processor: Any,
        *,
        max_image_size: int,
        max_new_tokens: int,
    ) -> None:
        from transformers import GenerationConfig

        self.model: Any = model.train(False)
        self.tokenizer: Any = tokenizer
        self.tokenizer.padding_side = "left"
        self.image_processor = image_processor
        self.family: Family = family_of(model.config.model_type)
        self.max_new_tokens = max_new_tokens
        self.image_token: int = model.config.image_token_id
        self.size = _limited(image_processor.size, max_image_size)
        self.ends = _ends(model, tokenizer)
        # Greedy, whatever the checkpoint's generation_config samples or penalises: a coordinate
        # may repeat digits.
        self.generation = GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=False,
            max_new_tokens=max_new_tokens,
            eos_token_id=self.ends,
            pad_token_id=tokenizer.pad_token_id,
        )
        self._dialogue("")

    @classmethod
    def from_pretrained(
        cls,
        model: str,
        *,
        revision: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        max_image_size: int = 1024,
        max_new_tokens: int = 512,
    ) -> Self:
        """Load a local folder or hub id, safetensors only.

        device and dtype as in `CaptionClassifier`. A picture is scaled down to `max_image_size`
        squared pixels, or to what the checkpoint allows, if that is less. Raises InputError where
        the model does not load, or is of no family whose boxes can be read.
        """
        from transformers import AutoConfig, AutoImageProcessor, AutoTokenizer
        from transformers import AutoModelForImageTextToText as Factory

        model = local_or_hub(model)
        try:
            place = choose_device(device)
            kind = AutoConfig.from_pretrained(model, revision=revision).model_type
            family_of(kind)
            tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)
            processors: Any = AutoImageProcessor
            image_processor = processors.from_pretrained(model, revision=revision)
            network = load_network(Factory, model, revision, place, dtype)
            return cls(
                network,
                tokenizer,
                image_processor,
                max_image_size=max_image_size,
                max_new_tokens=max_new_tokens,
            )
        except InputError:
            raise
        except Exception as error:  # each of its many parts has errors of its own
            raise InputError(
                f"annotate.model = {model} does not load on {device} "
                f"({' '.join(str(error).split())[:300]}); give a folder or hub id of a Qwen-VL "
                "model with config.json, tokenizer.json, preprocessor_config.json and "
                "model.safetensors, and a compute.device that exists"
            ) from None

    def prepare(self, picture: Image.Image) -> Prepared:
        """Scale and cut a picture; safe to call from several threads. UnreadableError for one that
        is too long and narrow."""
        if max(picture.size) > MOST_ASPECT * min(picture.size):
            width, height = picture.size
            raise UnreadableError(f"{width} x {height} pixels are too long and narrow")
        inputs = self.image_processor(
            images=[picture.convert("RGB")], size=self.size, return_tensors="pt"
        )
        grid, patch = inputs["image_grid_thw"][0], self.image_processor.patch_size
        _, height, width = grid.tolist()
        return Prepared(inputs["pixel_values"], grid, width * patch, height * patch)

    def ask(self, pictures: Sequence[Prepared], questions: Sequence[str]) -> list[Written]:
        """The answers to one question about each picture, in one batch, greedily.

        Questions of different length are padded on the left, which is masked and changes nothing.
        """
        import torch

        if not pictures:
            return []
        merged = self.image_processor.merge_size**2
        tokens = [int(picture.grid.prod()) // merged for picture in pictures]
        texts = [self._dialogue(text, n) for text, n in zip(questions, tokens, strict=True)]
        inputs = self.tokenizer(texts, padding=True, return_tensors="pt", add_special_tokens=False)
        ids = inputs["input_ids"]
        device = self.model.device
        with torch.inference_mode():
            written = self.model.generate(
                input_ids=ids.to(device),
                attention_mask=inputs["attention_mask"].to(device),
                mm_token_type_ids=(ids == self.image_token).int().to(device),
                pixel_values=torch.cat([each.patches for each in pictures]).to(
                    device, self.model.dtype
                ),
                image_grid_thw=torch.stack([each.grid for each in pictures]).to(device),
                generation_config=self.generation,
            )
        return [self._written(row) for row in written[:, ids.shape[1] :].tolist()]

    def _written(self, tokens: list[int]) -> Written:
        end = next((i for i, token in enumerate(tokens) if token in self.ends), len(tokens))
        text = self.tokenizer.decode(tokens[:end], skip_special_tokens=False)
        return Written(text, finished=end < len(tokens))

    def _dialogue(self, question: str, visual_tokens: int = 1) -> str:
        """The chat template's text, with a token for every cell of the picture."""
        content = [{"type": "image"}, {"type": "text", "text": plain(question) + self.family.form}]
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        pad = self.tokenizer.convert_ids_to_tokens(self.image_token)
        if str(text).count(pad) != 1:
            raise ValueError(f"its chat template shows no picture as {pad}")
        return str(text).replace(pad, pad * visual_tokens)


def plain(text: str) -> str:
    """Text in which no special token can be spelled."""
    return text.replace("<|", "< |")


def _limited(size: Any, max_image_size: int) -> dict[str, int]:
    """Qwen's bounds on the number of pixels, which it calls edges, with ours in place."""
    longest = min(int(size["longest_edge"]), max_image_size**2)
    return {"shortest_edge": min(int(size["shortest_edge"]), longest), "longest_edge": longest}


def _ends(model: Any, tokenizer: Any) -> list[int]:
    """Tokens that end an answer: the checkpoint's, and the tokenizer's."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    known = configured if isinstance(configured, list) else [configured]
    return sorted({t for t in (*known, tokenizer.eos_token_id) if t is not None})
