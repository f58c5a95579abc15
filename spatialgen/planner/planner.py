"""`LayoutPlanner`: what a caption names, and where it could be in a picture."""

import json
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypedDict, Unpack, overload

import torch
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessorList,
)

from spatialgen.errors import InputError, ParamsError
from spatialgen.layouts import Layout, boxes_by_name
from spatialgen.model_loading import find_base, load_network, local_or_hub
from spatialgen.planner.embeddings import begin_near_mean, make_room
from spatialgen.planner.grammar import MOST_TOKENS, LayoutGrammar, MedianBins, Tree, name_tree
from spatialgen.planner.vocabulary import Vocabulary
from spatialgen.relations import referee

CONFIG = "planner_config.json"
SEEDS = 2**63  # that torch takes
LEAST_BINS = 8

Judge = Callable[[str, Layout], Any]


class PlanOptions(TypedDict, total=False):
    """Of LayoutPlanner.plan."""

    samples: int
    temperature: float
    seed: int
    copy_names: bool
    judge: Judge


def failing_positions(caption: str, layout: Layout) -> tuple[int, int]:
    """How many of the caption's positions fail, and how many of these for want of a thing."""
    verdicts = [each.agrees for each in referee.judge(caption, boxes_by_name(layout))]
    return len(verdicts) - verdicts.count(True), verdicts.count(None)


class LayoutPlanner:
    """A causal language model that writes a layout after a caption."""

    def __init__(self, model: Any, tokenizer: Any, vocabulary: Vocabulary) -> None:
        self.model, self.tokenizer, self.vocabulary = model, tokenizer, vocabulary
        # A base's own settings may punish repetition, or search with beams.
        model.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]
        special = {*vocabulary.ids, *tokenizer.all_special_ids}
        text = torch.ones(len(tokenizer), dtype=torch.bool)
        text[[token for token in special if token < len(text)]] = False
        self._text_tokens = text

    @classmethod
    def from_base(
        cls,
        base: str,
        *,
        revision: str | None = None,
        bins: int,
        seed: int = 0,
        dtype: str = "float32",
    ) -> "LayoutPlanner":
        """Any causal language model, with the tokens of layouts added: it writes no layouts yet.

        A base that is a planner goes on from what it has learned. New tokens begin near the mean of
        the others. The vocabulary grows only where the model has no spare rows.
        """
        if _is_planner(base):
            planner = cls.from_pretrained(base)
            if len(planner.vocabulary.bins) != bins:
                raise ParamsError(
                    f"{base} has {len(planner.vocabulary.bins)} bins, not {bins}; repeat them"
                )
            return planner
        model, tokenizer = _load(base, revision, dtype)
        known = len(tokenizer)
        vocabulary = Vocabulary.of(tokenizer, bins)
        make_room(model, tokenizer)
        begin_near_mean(model, known, vocabulary, seed)
        return cls(model, tokenizer, vocabulary)

    @classmethod
    def from_pretrained(cls, path: str | Path, *, device: str = "cpu") -> "LayoutPlanner":
        """A planner that `save_pretrained` wrote; InputError where there is none."""
        config = _read_config(Path(path))
        if config["adapter"]:
            from peft import PeftModel

            base = _find_base(config["base"], Path(path))
            under = cls.from_pretrained(base).model if _is_planner(base) else None
            model = under or _load(base, config["revision"])[0]
            tokenizer = AutoTokenizer.from_pretrained(path)
            make_room(model, tokenizer)
            model = PeftModel.from_pretrained(model, str(path)).merge_and_unload()
        else:
            model, tokenizer = _load(str(path), None)
        model.eval()
        known = len(tokenizer)
        vocabulary = Vocabulary.of(tokenizer, config["bins"])
        if len(tokenizer) != known or f"<c{config['bins']}>" in tokenizer.get_vocab():
            raise InputError(
                f"{path}: its tokenizer has not just {config['bins']} bins; mend {CONFIG}"
            )
        return cls(model.to(device), tokenizer, vocabulary)

    def with_lora(self, rank: int) -> "LayoutPlanner":
        """The same with frozen weights and low-rank matrices of this rank beside them (Hu et al.,
        arXiv:2106.09685); of the embeddings only the tokens of layouts are trained."""
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(
            r=rank,
            lora_alpha=2 * rank,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
            trainable_token_indices=self.vocabulary.ids,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # peft's use of transformers
            model = get_peft_model(self.model, config)
        return LayoutPlanner(model, self.tokenizer, self.vocabulary)

    def save_pretrained(
        self, path: str | Path, *, base: str = "", revision: str | None = None, **facts: Any
    ) -> None:
        """Write it as a folder; of a LoRA adapter only what was trained, with its `base`'s name.
        `facts` go into the config."""
        adapter = hasattr(self.model, "peft_config")
        if adapter:
            self.model.save_pretrained(path, save_embedding_layers=False)
        else:
            self.model.save_pretrained(path)
        self.tokenizer.save_pretrained(path)
        config = {"bins": len(self.vocabulary.bins), "adapter": adapter, "base": base}
        text = json.dumps({**config, "revision": revision, **facts}, indent=2, ensure_ascii=False)
        (Path(path) / CONFIG).write_text(text + "\n", encoding="utf-8")

    @overload
    def plan(  # type: ignore[overload-overlap]  # a text is a sequence of texts
        self, captions: str, **options: Unpack[PlanOptions]
    ) -> Layout: ...
    @overload
    def plan(self, captions: Sequence[str], **options: Unpack[PlanOptions]) -> list[Layout]: ...
    def plan(
        self,
        captions: str | Sequence[str],
        *,
        samples: int = 1,
        temperature: float = 0.7,
        seed: int = 0,
        copy_names: bool = True,
        judge: Judge = failing_positions,
    ) -> Layout | list[Layout]:
        """A layout for a caption, or a list for several, in one batch.

        Greedy with one sample: the likeliest token, and the median of each coordinate. With more,
        so many are drawn with this seed and temperature, and the one is taken that `judge` finds
        least wrong (by default: in which the referee finds fewest of the caption's positions to
        fail), of equal ones the first. `copy_names` lets names only be pieces of the caption;
        one without words has an empty layout. InputError for an empty caption.
        """
        if isinstance(captions, str):
            return self.plan([captions], samples=samples, temperature=temperature, seed=seed,
                             copy_names=copy_names, judge=judge)[0]  # fmt: skip
        if samples < 1 or not temperature > 0:
            raise InputError(f"samples {samples} and temperature {temperature} must be positive")
        captions = [_readable(caption) for caption in captions]
        if not captions:
            return []
        trees = [name_tree(each, self.tokenizer) if copy_names else None for each in captions]
        grammar = [tree or None for tree in trees for _ in range(samples)]
        drawn = self._generate(captions, samples, temperature, seed, grammar)
        layouts = [self.vocabulary.read(ids, self.tokenizer) or () for ids in drawn]
        # Where there is no word to copy, the grammar has let any be written.
        layouts = [() if trees[n // samples] == {} else each for n, each in enumerate(layouts)]
        return [
            min(layouts[first : first + samples], key=partial(judge, caption))
            for caption, first in zip(captions, range(0, len(layouts), samples), strict=True)
        ]

    def write_freely(self, captions: Sequence[str]) -> list[Layout | None]:
        """Greedy layouts without any constraint; None where the text is none."""
        drawn = self._generate(captions, 1, 0.0, 0, None)
        return [self.vocabulary.read(ids, self.tokenizer) for ids in drawn]

    @torch.inference_mode()
    def _generate(
        self,
        captions: Sequence[str],
        samples: int,
        temperature: float,
        seed: int,
        names: Sequence[Tree | None] | None,
    ) -> list[list[int]]:
        """Tokens behind each caption, `samples` of each in a row, by the grammar with these names
        (LayoutGrammar's), or by none."""
        prompts = [self.vocabulary.ask(caption, self.tokenizer) for caption in captions]
        inputs = self.tokenizer.pad(
            {"input_ids": prompts}, padding_side="left", return_tensors="pt"
        ).to(self.model.device)
        length = inputs["input_ids"].shape[1]
        processors = LogitsProcessorList()
        if names is not None:
            text = self._text_tokens.to(self.model.device)
            processors.append(LayoutGrammar(self.vocabulary, length, names, text))
            if samples == 1:
                processors.append(MedianBins(self.vocabulary))
        settings = GenerationConfig(  # type: ignore[no-untyped-call]
            max_new_tokens=MOST_TOKENS,
            num_return_sequences=samples,
            do_sample=samples > 1,
            eos_token_id=self.vocabulary.end,
            pad_token_id=self.tokenizer.pad_token_id,
            **({"temperature": temperature, "top_k": 0, "top_p": 1.0} if samples > 1 else {}),
        )
        with torch.random.fork_rng():
            torch.manual_seed(seed % SEEDS)
            written = self.model.generate(
                **inputs, generation_config=settings, logits_processor=processors
            )
        found: list[list[int]] = written[:, length:].tolist()
        return found


def _read_config(folder: Path) -> dict[str, Any]:
    """The config of a planner; InputError where there is none, or another one."""
    try:
        config: dict[str, Any] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        sound = {"adapter", "base", "revision"} <= {*config} and config["bins"] >= LEAST_BINS
    except (OSError, ValueError, TypeError, KeyError):
        sound = False
    if not sound:
        raise InputError(
            f'{folder} holds no planner (by its {CONFIG}); run "dvc repro train_planner", or name '
            "another folder"
        )
    return config


def _find_base(base: str, planner: Path) -> str:
    """The base of a planner that names one; InputError where that is itself."""
    found = find_base(base, planner)
    if Path(found).resolve() == planner.resolve():
        raise InputError(f"{planner} names itself as its base; train it from another one")
    return found


def _readable(caption: str) -> str:
    """The caption; InputError where it is no text, or empty."""
    if not isinstance(caption, str):
        raise InputError(f"{caption!r} is no caption; give text")
    text = caption.encode("utf-8", "replace").decode()
    if not text.strip():
        raise InputError("an empty caption names nothing to place; give text")
    return text


def _is_planner(path: str) -> bool:
    return (Path(path) / CONFIG).is_file()


def _load(path: str, revision: str | None, dtype: str = "float32") -> tuple[Any, Any]:
    """Model and tokenizer of a folder or hub id; ParamsError where it does not load."""
    place = local_or_hub(path)
    try:
        model = load_network(AutoModelForCausalLM, place, revision, "cpu", dtype)
        tokenizer = AutoTokenizer.from_pretrained(place, revision=revision)
    except (OSError, ValueError, SafetensorError) as error:
        raise ParamsError(
            f"{path} does not load as a causal language model ({str(error).splitlines()[0]}); give "
            "a folder with config.json and safetensors, or a hub id with its revision"
        ) from None
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return model, tokenizer
