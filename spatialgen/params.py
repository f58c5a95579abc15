"""params.yaml as typed, frozen values; the only way to set anything.

One section per stage holds what changes results. `compute` holds what changes speed alone, and is
in no stage's `params:`. Unknown keys are errors, never ignored.
"""

import argparse
import difflib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from spatialgen.errors import ParamsError


class Section(BaseModel):
    """A section of params.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @classmethod
    def of(cls, **values: Any) -> Self:
        """The section with these values; ParamsError for a wrong one."""
        try:
            return cls(**values)
        except ValidationError as error:
            raise ParamsError(_explain(error)) from None


class SampleParams(Section):
    """The sample web: Wukong-shaped CSV shards and pictures with known truth."""

    seed: int
    rows: int = Field(ge=1)  # CSV rows over all shards
    shards: int = Field(ge=1)
    spatial_share: float = Field(ge=0, le=1)  # of rows whose caption is strong or weak
    core_share: float = Field(ge=0, le=1)  # of these, with large core things alone
    damaged_share: float = Field(ge=0, le=0.5)  # of lines that are malformed


def _keyword(word: str) -> str:
    if not word.strip() or set(word) & set('",\n\r'):
        raise ValueError("a keyword is a word without quotes, commas or line breaks")
    return word


class CandidatesParams(Section):
    """The keyword prefilter over CSV shards."""

    csv: str = Field(min_length=1)  # one file or folder; absolute outside the project
    pattern: str = Field(min_length=1)  # file names to take inside a folder, as in a shell
    keywords: list[Annotated[str, AfterValidator(_keyword)]] = Field(min_length=1)  # any of these


class LabelParams(Section):
    """The answers to the prompt by class; each is one token to the model."""

    strong: str = Field(min_length=1)
    weak: str = Field(min_length=1)
    none: str = Field(min_length=1)


class FilterParams(Section):
    """Judging captions: model, prompt and labels make the probabilities, the rest selects."""

    model: str = Field(min_length=1)  # a folder, or a hub id
    revision: str | None  # of the hub id; null for a folder
    prompt: str = Field(min_length=1)  # text file that holds {caption} once
    labels: LabelParams
    dtype: Literal["auto", "float32", "float16", "bfloat16"]  # auto: what the device does well
    min_probability: float = Field(ge=0, le=1)  # of strong + weak, for a row to be spatial
    target_samples: int | None = Field(
        ge=1, le=10**12, strict=True
    )  # stop at so many spatial rows; null: judge all
    gold: str | None  # labelled JSONL to measure against; null: do not
    attempt: int = Field(
        ge=1, lt=2**31, strict=True
    )  # raise it to ask again what failed for a passing reason


class DownloadParams(Section):
    """Downloading pictures: nothing here changes what a URL answers, only which answers count."""

    take: list[Literal["strong", "weak", "none"]] = Field(min_length=1)  # captions by spatial_type
    max_bytes: int = Field(ge=1, le=2**30, strict=True)  # of a file
    min_side: int = Field(ge=1, strict=True)  # pixels, of the shorter side
    max_pixels: int = Field(ge=1, le=89_478_485, strict=True)  # width x height (Pillow's limit)
    retries: int = Field(ge=0, le=20, strict=True)  # of a row within a run, after its first request
    robots: bool  # obey robots.txt: one more request per host
    user_agent: str = Field(pattern=r"^[!-~][ -~]*$")  # how servers know us; add a contact
    attempt: int = Field(
        ge=1, lt=2**31, strict=True
    )  # raise it to ask again what failed for a passing reason


class AnnotateParams(Section):
    """Boxes of what captions name: model, prompt and size make the answers, the rest reads them."""

    model: str = Field(min_length=1)  # a folder, or a hub id of a Qwen-VL model
    revision: str | None  # of the hub id; null for a folder
    prompt: str = Field(min_length=1)  # text file that holds {names} or {caption}
    dtype: Literal["auto", "float32", "float16", "bfloat16"]  # auto: what the device does well
    max_image_size: int = Field(ge=28, le=8192, strict=True)  # its square bounds the pixels seen
    max_new_tokens: int = Field(ge=16, le=8192, strict=True)  # of an answer
    max_names: int = Field(ge=1, le=64, strict=True)  # asked for at once
    passes: Literal[1, 2]  # 2: a second look, whose boxes give self_iou
    second_view: Literal["mirrored", "smaller"]  # how the second look sees the picture
    min_area: float = Field(ge=0, lt=1)  # of a box, as a share of the picture; selects
    merge_iou: float = Field(gt=0, le=1)  # boxes of one name that overlap so much are one; selects
    given: str | None  # rows whose boxes exist already, which no model is asked about; null: none
    gold: str | None  # rows with true boxes to measure against (.parquet, .jsonl); null: do not
    planted: int = Field(ge=0, strict=True)  # gold rows asked for a name that is not there, too
    attempt: int = Field(
        ge=1, lt=2**31, strict=True
    )  # raise it to ask again what failed for a passing reason


class SplitParams(Section):
    """Which rows train, validate and test."""

    val: float = Field(ge=0, lt=1)  # share of the rows that share nothing with others
    test: float = Field(ge=0, lt=1)  # likewise; groups are in test more often than single rows
    salt: str = Field(min_length=1)  # another one draws another split
    max_group: int = Field(ge=1, strict=True)  # a hash that more rows share does not link them

    @model_validator(mode="after")
    def _leaves_training(self) -> "SplitParams":
        if self.val + self.test >= 1:
            raise ValueError(f"val {self.val} and test {self.test} leave nothing to train on")
        return self


class CheckParams(Section):
    """What must hold before anything trains."""

    queries: str = Field(min_length=1)  # folder of checks
    offenders: int = Field(ge=1, le=1000, strict=True)  # offending rows kept of each
    warn: list[str]  # names of checks that warn and stop nothing


class TrainPlannerParams(Section):
    """Training the Layout Planner: which rows, from which model, how long."""

    base: str = Field(min_length=1)  # a causal language model's folder or hub id, or a planner's
    revision: str | None  # of the hub id; null for a folder
    resume: str | None  # .lake/train/<name>: a training of other rows to go on from, knowingly
    where: str = Field(min_length=1)  # rows that train: SQL over boxes, captions and splits
    lora_rank: int | None = Field(ge=1, le=1024, strict=True)  # null: all weights are trained
    bins: int = Field(ge=8, le=1000, strict=True)  # of a coordinate
    smoothing: float = Field(ge=0, le=10)  # bins: neighbours that are taught as nearly right
    mirrored: float = Field(ge=0, le=1)  # share of rows seen as in a mirror, words too
    renamed: float = Field(ge=0, le=1)  # share of rows whose things get other names
    steps: int = Field(ge=1, strict=True)
    batch: int = Field(ge=1, strict=True)  # rows of a step
    rate: float = Field(gt=0, lt=1)  # highest learning rate
    every: int = Field(ge=1, strict=True)  # steps between validations and checkpoints
    precision: Literal["fp32", "fp16", "bf16"]  # of computing; weights that train are float32
    samples: int = Field(ge=1, le=64, strict=True)  # > 1: also measure the best of so many
    seed: int


class EncodeParams(Section):
    """Latents of pictures and states of prompts, as the generator sees them."""

    model: str = Field(min_length=1)  # a folder, or a hub id of a Kolors or SDXL pipeline
    revision: str | None  # of the hub id; null for a folder
    dtype: Literal["auto", "float32", "float16", "bfloat16"]  # auto: what the device does well
    resolution: int = Field(ge=16, le=8192, strict=True)  # pixels: its square is a bucket's area
    step: int = Field(ge=8, le=512, strict=True)  # pixels: buckets' sides are multiples of it
    max_aspect: float = Field(ge=1, le=10)  # of a bucket's long to short side
    mirrored: bool  # also as in a mirror, which train_adapter.mirrored draws on
    attempt: int = Field(
        ge=1, lt=2**31, strict=True
    )  # raise it to ask again what failed for a passing reason


class TrainAdapterParams(Section):
    """Training the Spatial Adapter on what stage encode made: which rows, its size, how long."""

    resume: str | None  # .lake/train/<name>: a training of other rows to go on from, knowingly
    where: str = Field(min_length=1)  # rows that train: SQL over boxes, captions and splits
    min_area: float = Field(ge=0, lt=1)  # of a box, of the cropped picture; smaller ones are left
    min_visible: float = Field(ge=0, le=1)  # share of a box that the crop must show
    adapter_layers: Literal["all", "mid_up"]  # which attention layers get a part of it
    width: int = Field(ge=4, le=4096, strict=True)  # of its attention
    token_width: int = Field(ge=8, le=8192, strict=True)  # of the token that stands for a thing
    heads: int = Field(ge=1, le=128, strict=True)  # of its attention; they divide width
    frequencies: int = Field(ge=1, le=32, strict=True)  # of a coordinate's Fourier features
    unboxed_share: float = Field(ge=0, lt=1)  # of rows that train as pictures without boxes
    caption_dropout: float = Field(ge=0, lt=1)  # share of rows that are seen without their caption
    box_dropout: float = Field(ge=0, lt=1)  # share of rows that are seen without their boxes
    mirrored: float = Field(ge=0, le=1)  # share of rows seen as in a mirror, words too
    snr_gamma: float | None = Field(gt=0)  # of min-SNR weights; null: all timesteps weigh the same
    steps: int = Field(ge=1, strict=True)
    batch: int = Field(ge=1, strict=True)  # rows of a step
    rate: float = Field(gt=0, lt=1)  # highest learning rate
    every: int = Field(ge=1, strict=True)  # steps between validations and checkpoints
    precision: Literal["fp32", "fp16", "bf16"]  # of computing; weights that train are float32
    seed: int

    @model_validator(mode="after")
    def _heads_divide_width(self) -> "TrainAdapterParams":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        return self


Also = Literal["planned", "shuffled", "reconstruction"]


class EvaluateParams(Section):
    """Pictures of held-out captions, and what two judges see in them."""

    captions: int = Field(ge=1, strict=True)  # of the split test, at most
    sides_only: bool  # captions that state left, right, above or below
    seeds: list[int] = Field(min_length=1)  # a picture of each caption with each
    also: list[Also]  # beside on and off: conditions under which the captions are painted, too
    steps: int = Field(ge=1, le=1000, strict=True)  # of denoising
    guidance: float = Field(ge=0, le=100)  # guidance_scale
    layout_guidance: float = Field(ge=0, le=100)  # layout_guidance_scale
    scale: float = Field(ge=0, le=10)  # layout_scale
    beta: float = Field(ge=0, le=1)  # layout_scheduled_sampling_beta
    scales: list[Annotated[float, Field(ge=0, le=10)]]  # that condition on is repeated with
    betas: list[Annotated[float, Field(ge=0, le=1)]]  # likewise
    annotator: str = Field(min_length=1)  # a folder, or a hub id of a Qwen-VL model
    annotator_revision: str | None  # of the hub id; null for a folder
    detector: str = Field(min_length=1)  # folder of the second judge, which trained nothing
    inception: str | None  # folder or file with Inception weights, for FID; null: not measured
    attempt: int = Field(
        ge=1, lt=2**31, strict=True
    )  # raise it to ask again what failed for a passing reason


class SourceParams(Section):
    """Where data come from, for the dataset card."""

    name: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    url: str | None = Field(pattern=r"^https?://\S+$")  # null: this project


class ReportParams(Section):
    """The report: what it is called, what it shows of the rows, and whose data they are."""

    title: str = Field(min_length=1)
    seed: int  # of the sample pictures
    pictures_per_class: int = Field(ge=0, le=200, strict=True)  # strong, weak, positions that fail
    pictures_per_check: int = Field(ge=0, le=200, strict=True)  # of one that did not pass
    sources: list[SourceParams]


Target = Annotated[str, Field(pattern=r"^([0-9.]+|\[[0-9A-Fa-f:.]+\]):[1-9]\d{0,4}$")]


class ComputeParams(Section):
    """Speed only: no value here changes a class, and probabilities agree within 1e-3."""

    device: str = Field(pattern=r"^(auto|cpu|cuda(:\d+)?)$")  # auto: cuda where there is one
    batch_rows: int = Field(ge=1, le=512)  # captions that a model judges at once, at most
    batch_pictures: int = Field(ge=1, le=512)  # pictures that a model is given, or draws, at once
    decode_threads: int = Field(ge=0, le=256)  # that decode pictures; 0: up to 8, as cores allow
    processes: int = Field(ge=0, le=1024)  # that train together, one a device; 0: all CUDA devices
    micro_batch: int | None = Field(ge=1, strict=True)  # rows of a step at once, of each process
    loader_workers: int = Field(ge=0, le=256)  # that read batches, of each process; 0: none
    gradient_checkpointing: bool  # of the generator: a third of the memory, a third more time
    memory: str = Field(pattern=r"^[1-9]\d*(\.\d+)?\s*[MGT]i?B$")  # that DuckDB may use
    threads: int = Field(ge=0, le=1024)  # 0: all cores
    concurrency: Literal["auto"] | Annotated[int, Field(ge=1, le=4096)]  # requests at once
    per_host: int = Field(ge=1, le=4096)  # of these, to one host
    timeout_s: float = Field(gt=0, le=3600)  # of a request, redirects included
    connect_timeout_s: float = Field(gt=0, le=3600)  # until a connection stands
    read_timeout_s: float = Field(gt=0, le=3600)  # between two parts of an answer
    connect_to: dict[str, Target]  # host: the address:port to reach it at, private or not


class Params(Section):
    """The whole of params.yaml."""

    sample: SampleParams
    candidates: CandidatesParams
    filter: FilterParams
    download: DownloadParams
    annotate: AnnotateParams
    split: SplitParams
    check: CheckParams
    encode: EncodeParams
    train_planner: TrainPlannerParams
    train_adapter: TrainAdapterParams
    evaluate: EvaluateParams
    report: ReportParams
    compute: ComputeParams


def load_params(
    path: Path | str = "params.yaml", overrides: Mapping[str, Any] | None = None
) -> Params:
    """Read and check `path`, with `overrides` by dotted key (`filter.attempt`) in place.

    Raises ParamsError naming the key, its value and the remedy.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ParamsError(f"{path} does not exist in {os.getcwd()}; run from the project") from None
    try:
        values = yaml.safe_load(text)
        for key, value in (overrides or {}).items():
            _override(values, key, value)
        return Params.model_validate(values)
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    except ValidationError as error:
        raise ParamsError(f"{path}: {_explain(error)}") from None


def argument_overrides(arguments: Sequence[str]) -> dict[str, Any]:
    """The overrides in a stage's command line: `-S key=value`, any number of times."""
    parser = argparse.ArgumentParser(description="One stage of the pipeline; see params.yaml.")
    parser.add_argument("-S", "--set-param", action="append", default=[], metavar="KEY=VALUE")
    return parse_overrides(parser.parse_args(arguments).set_param)


def parse_overrides(pairs: Iterable[str]) -> dict[str, Any]:
    """Values by dotted key of `key=value` texts, as `-S` takes them; the values are YAML."""
    overrides = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ParamsError(f"-S {pair} has no key=value; write it like -S filter.attempt=2")
        try:
            overrides[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ParamsError(f"-S {pair} is no YAML: {' '.join(str(error).split())}") from None
    return overrides


def _override(values: Any, key: str, value: Any) -> None:
    *sections, name = key.split(".")
    for section in sections:
        values = values.get(section) if isinstance(values, dict) else None
    if not isinstance(values, dict) or name not in values:
        raise ParamsError(f"there is no {key} to override; see params.yaml")
    values[name] = value


def _explain(error: ValidationError) -> str:
    """All that is wrong, in one line."""
    return "; ".join(_explain_one(dict(problem)) for problem in error.errors())


def _explain_one(problem: dict[str, Any]) -> str:
    *sections, key = [str(part) for part in problem["loc"]] or ["the file"]
    name = ".".join([*sections, key])
    if problem["type"] == "extra_forbidden":
        known = _known_keys(sections)
        close = difflib.get_close_matches(key, known, 1)
        hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
        return f"unknown key {name}; {hint}"
    if problem["type"] == "missing":
        return f"{name} is missing; add it"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{name} = {problem['input']!r} is wrong: {message}"


def _known_keys(sections: list[str]) -> list[str]:
    model: Any = Params
    for section in sections:
        model = model.model_fields[section].annotation
    return list(model.model_fields)
