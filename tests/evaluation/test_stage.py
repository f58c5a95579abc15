"""Row stage evaluate on a real lake with the shipped judges: pictures, verdicts, memo, memory."""

from dataclasses import replace
from typing import Any

import pytest

from spatialgen.encode.tables import Latents
from spatialgen.errors import InputError
from spatialgen.evaluation.asked import asked_rows, conditions, held_out
from spatialgen.evaluation.distances import painted_pictures
from spatialgen.evaluation.painted import by_condition
from spatialgen.evaluation.stage import Evaluate, adapter_identity, evaluate_stage, noise_of
from spatialgen.lake.parts import PartStore
from spatialgen.lake.schemas import GENERATIONS
from spatialgen.rows.engine import answer_rows
from spatialgen.rows.publish import publish_parts
from spatialgen.rows.runner import Inline
from tests.evaluation.lakes import SAMPLE, Oracle, evaluate_params

ADAPTER = SAMPLE / "judge-small"  # any folder has an identity
ALSO = ["shuffled", "reconstruction"]


class Run:
    """One run of the stage, with a pipeline that is told what to paint."""

    def __init__(self, lake, pipe, judges, params, adapter="folder:a"):
        self.cases, _ = held_out(lake, params, judges.known)
        wanted = conditions(self.cases, params, adapter, None)
        self.asked = asked_rows(self.cases, wanted, params.evaluate.seeds)
        stage = evaluate_stage(lake, params, ADAPTER)
        latents = Latents(lake.path("latents"))
        self.stage = replace(stage, open=lambda device: Evaluate(pipe, judges, latents))
        self.counts = answer_rows(
            lake, self.stage, self.asked, Inline("cpu"),
            attachments=PartStore(lake, GENERATIONS), quiet=True,
        )  # fmt: skip
        self.published = publish_parts(lake, GENERATIONS, self.stage, self.asked)
        self.painted = by_condition(lake, self.stage, self.asked)

    def totals(self, condition, judge, name):
        """Over the pictures of a condition."""
        return sum(row[f"by_{judge}"][name] for row in self.rows(condition))

    def rows(self, condition):
        """What was painted under a condition, by row_id."""
        there: list[Any] = [each.row for each in self.painted[condition]]
        return there


def test_true_boxes_give_what_was_asked_for_and_others_do_not(filled, judges):
    lake, views = filled
    params = evaluate_params(captions=8, also=ALSO)
    run = Run(lake, Oracle(lake, views, params), judges, params)
    assert (run.counts.computed, run.counts.failed) == (32, 0)
    assert lake["generations"].manifest.rows == 32
    for judge in ("annotator", "detector"):
        instances = run.totals("on", judge, "instances")
        assert instances == 16
        for condition in ("on", "reconstruction"):
            assert run.totals(condition, judge, "mig_hits") >= 12
            assert run.totals(condition, judge, "geneval") >= 5
        for condition in ("off", "shuffled"):
            assert run.totals(condition, judge, "mig_iou") == 0
            assert run.totals(condition, judge, "sides") == 8


def test_rows_say_what_was_given_wanted_and_found(filled, judges):
    lake, views = filled
    params = evaluate_params(captions=2, seeds=[3])
    run = Run(lake, Oracle(lake, views, params), judges, params)
    for case in run.cases:
        (on,) = (e for e in run.rows("on") if e["row_id"] == case.row_id)
        (off,) = (e for e in run.rows("off") if e["row_id"] == case.row_id)
        for row in (on, off):
            assert (row["caption"], row["seed"]) == (case.example.caption, 3)
            assert (row["width"], row["height"], row["absent"]) == (64, 64, case.absent)
            assert [each["name"] for each in row["wanted"]] == [e.name for e in case.wanted]
            assert row["seconds"] >= 0
            (picture,) = painted_pictures(lake, [row["generation_id"]])
            assert picture.size == (64, 64)
        assert on["layout"] == on["wanted"]
        assert off["layout"] == []
        assert on["detector"][0]["score"] > 0.3


def test_conditions_share_their_noise_and_are_painted_with_their_settings(filled, judges):
    lake, views = filled
    params = evaluate_params(also=["shuffled"], scales=[0.5], betas=[0.3], layout_guidance=2.0)
    pipe = Oracle(lake, views, params)
    Run(lake, pipe, judges, params)
    noise: dict[str, set[float]] = {}
    told = set()
    for call in pipe.calls:
        for caption, drawn in zip(call["prompt"], call["noise"], strict=True):
            noise.setdefault(caption, set()).add(drawn)
        assert (call["num_inference_steps"], call["guidance_scale"]) == (1, 5.0)
        told.add((call.get("layout_scale"), call.get("layout_scheduled_sampling_beta"),
                  call.get("layout_guidance_scale"), "layout_boxes" in call))  # fmt: skip
    assert {len(each) for each in noise.values()} == {1}
    assert len({drawn for each in noise.values() for drawn in each}) == len(noise)
    assert told == {
        (None, None, None, False), (1.0, 1.0, 2.0, True), (0.5, 1.0, 2.0, True),
        (1.0, 0.3, 2.0, True),
    }  # fmt: skip
    assert noise_of(5, 0).initial_seed() != noise_of(5, 1).initial_seed()


def test_nothing_is_painted_twice_and_a_new_adapter_repaints_its_own(filled, judges):
    lake, views = filled
    params = evaluate_params(captions=3, also=["reconstruction"])
    first = Run(lake, Oracle(lake, views, params), judges, params)
    manifest = lake.manifest("generations")
    pipe = Oracle(lake, views, params)
    again = Run(lake, pipe, judges, params)
    assert (again.counts.computed, pipe.calls) == (0, [])
    assert lake.manifest("generations") == manifest
    more = Run(lake, pipe, judges, params.model_copy(update={"evaluate": params.evaluate.model_copy(
        update={"captions": 5})}))  # fmt: skip
    assert more.counts.computed == 2 * 3, "the first three are the same"
    other = Run(lake, pipe, judges, params, adapter="folder:b")
    assert other.counts.computed == 3, "only condition on depends on it"
    assert first.counts.computed == 9


def test_too_many_pictures_at_once_are_halved(filled, judges):
    lake, views = filled
    params = evaluate_params(captions=8)
    run = Run(lake, Oracle(lake, views, params, room=2), judges, params)
    assert (run.counts.computed, run.counts.failed) == (16, 0)


def test_what_cannot_be_painted_is_a_failure_and_no_row(filled, judges):
    lake, views = filled
    params = evaluate_params(captions=4)
    pipe = Oracle(lake, views, params)
    bad = held_out(lake, params, judges.known)[0][1]
    del pipe.views[bad.example.caption]
    run = Run(lake, pipe, judges, params)
    assert (run.counts.computed, run.counts.failed) == (8, 2)
    assert run.published.failed == 2
    assert lake["generations"].manifest.rows == 6
    for rows in run.painted.values():
        assert [each.asked["row_id"] for each in rows if each.row is None] == [bad.row_id]
    assert Run(lake, Oracle(lake, views, params), judges, params).counts.computed == 0
    retried = evaluate_params(captions=4, attempt=2)
    healed = Run(lake, Oracle(lake, views, params), judges, retried)
    assert (healed.counts.computed, healed.counts.failed) == (2, 0)


def test_other_judges_are_asked_anew(filled):
    lake, _ = filled
    params = evaluate_params()
    other = evaluate_params(detector=str(SAMPLE / "kolors-small"))
    assert evaluate_stage(lake, params, ADAPTER).fp != evaluate_stage(lake, other, ADAPTER).fp


def test_an_adapter_that_is_not_there_is_said(tmp_path):
    with pytest.raises(InputError, match='run "dvc repro train_adapter"'):
        adapter_identity(tmp_path / "adapter")


@pytest.mark.parametrize("seed", [0, 2**40])
def test_noise_is_of_row_and_seed_alone(seed):
    assert noise_of(-(2**63), seed).initial_seed() == noise_of(-(2**63), seed).initial_seed()
    assert noise_of(1, seed).initial_seed() != noise_of(2, seed).initial_seed()
