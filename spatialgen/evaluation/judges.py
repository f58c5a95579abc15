"""The two judges of painted pictures: the annotator, whose boxes may have trained what paints them,
and the detector, which shares nothing with these."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from PIL import Image

from spatialgen.evaluation.verdicts import Seen
from spatialgen.grounding import annotator
from spatialgen.grounding.annotator import BoxAnnotator
from spatialgen.grounding.answers import tidy
from spatialgen.grounding.detector import Detector
from spatialgen.grounding.qwen2_vl import ask
from spatialgen.model_loading import choose_device
from spatialgen.params import EvaluateParams

PROMPT = (Path(annotator.__file__).parent / "prompt.txt").read_text(encoding="utf-8").strip()
MERGE_IOU = 0.7  # boxes of one name that overlap so much are one, as in stage annotate


@dataclass(frozen=True)
class Look:
    """What the judges found in a picture: the annotator in its answer's order and without scores,
    the detector the surest first."""

    annotator: list[Seen]
    detector: list[Seen]


@dataclass(frozen=True)
class Judges:
    """An annotator, which is asked for names, and a detector, which knows a few classes."""

    annotator: BoxAnnotator
    detector: Detector

    @classmethod
    def from_params(cls, params: EvaluateParams, device: str) -> Self:
        """Load both; InputError where one does not load."""
        place = choose_device(device)
        model = BoxAnnotator.from_pretrained(
            params.annotator, revision=params.annotator_revision, device=place
        )
        return cls(model, Detector.from_pretrained(Path(params.detector), place))

    @property
    def known(self) -> frozenset[str]:
        """Names that the detector can find."""
        return frozenset(self.detector.config.classes)

    def look(
        self,
        pictures: Sequence[Image.Image],
        names: Sequence[Sequence[str]],
        absent: Sequence[str],
    ) -> list[Look]:
        """What is in each picture, in one batch: the annotator is asked for its `names` and for one
        that is `absent` ('': for none), so that one which says yes to everything is found out."""
        asked = [
            [*there, planted] if planted else [*there]
            for there, planted in zip(names, absent, strict=True)
        ]
        looks = zip(self._ask(pictures, asked), self._detect(pictures), strict=True)
        return [Look(*each) for each in looks]

    def _ask(
        self, pictures: Sequence[Image.Image], asked: Sequence[Sequence[str]]
    ) -> list[list[Seen]]:
        prepared = [self.annotator.prepare(picture) for picture in pictures]
        questions = [ask(PROMPT, names) for names in asked]
        read = self.annotator.family.read
        found = []
        for shown, names, answer in zip(
            prepared, asked, self.annotator.ask(prepared, questions), strict=True
        ):
            mentions = read(answer.text, shown.width, shown.height)
            clean = tidy(mentions, names, "", min_area=0.0, merge_iou=MERGE_IOU)
            found.append([_seen(n, box) for n, boxes in clean.objects.items() for box in boxes])
        return found

    def _detect(self, pictures: Sequence[Image.Image]) -> list[list[Seen]]:
        return [
            [_seen(each.name, each.bbox, each.score) for each in things]
            for things in self.detector.detect(pictures)
        ]


def _seen(name: str, bbox: Sequence[float], score: float | None = None) -> Seen:
    x1, y1, x2, y2 = bbox
    return Seen(name, (x1, y1, x2, y2), score)
