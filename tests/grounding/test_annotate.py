"""Row stage annotate on a real lake: what is asked, failures, memory, two looks, gold."""

import hashlib
import io
import json
import threading
import time
from typing import Any

import lance
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from spatialgen.errors import InputError, LakeError, ParamsError
from spatialgen.grounding.annotator import BoxAnnotator, Written
from spatialgen.grounding.gold import measure, planted_rows, read_gold
from spatialgen.grounding.metrics import count_boxes, write_recall_plot
from spatialgen.grounding.pictures import (
    Ahead,
    Pictures,
    UnreadableError,
    as_seen_plainly,
    decode,
    shown,
)
from spatialgen.grounding.publish import publish_boxes
from spatialgen.grounding.qwen2_vl import write_answer
from spatialgen.grounding.seed import seed_answers
from spatialgen.grounding.stage import (
    Annotate,
    annotate_stage,
    asked_rows,
    read_box_prompt,
    with_question,
)
from spatialgen.lake.ids import row_id
from spatialgen.lake.schemas import CAPTIONS, DOWNLOADS, IMAGES
from spatialgen.params import load_params
from spatialgen.rows.engine import answer_rows
from spatialgen.rows.runner import Inline
from tests.conftest import REPOSITORY, compute_params, picture_table
from tests.grounding.models import save_tiny

LEFT, RIGHT = [0.1, 0.3, 0.4, 0.7], [0.6, 0.3, 0.9, 0.7]
SAID: list[tuple[str, dict[str, list[list[float]]]]] = [
    ("一只小猫在箱子的左边", {"小猫": [LEFT], "箱子": [RIGHT]}),
    ("箱子左边有一只小猫", {"小猫": [RIGHT], "箱子": [LEFT]}),
    ("灯笼在左上角", {"灯笼": []}),
    ("左边", {}),
]


def picture(shade: int, size=(160, 120)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade, 255 - shade, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def fill(lake, captions, files):
    """A lake whose row of each caption has the file beside it."""
    store = lake.stored("images", IMAGES.schema)
    table = picture_table(list(dict.fromkeys(files)))
    store.append(table)
    lake.publish_blobs(IMAGES, store.open(), table.select(["sha256"]))
    rows = sorted(
        (
            row_id(f"http://a/{n}", caption),
            f"http://a/{n}",
            caption,
            hashlib.sha256(file).hexdigest(),
        )
        for n, (caption, file) in enumerate(zip(captions, files, strict=True))
    )
    keys, urls, texts, digests = map(list, zip(*rows, strict=True))
    count = len(rows)
    judged = [keys, urls, texts, ["strong"] * count, [1.0] * count, [0.0] * count, [0.0] * count,
              ["tiny"] * count, [None] * count]  # fmt: skip
    arrays = [pa.array(v, f.type) for v, f in zip(judged, CAPTIONS.schema, strict=True)]
    lake.publish(CAPTIONS, [pa.RecordBatch.from_arrays(arrays, schema=CAPTIONS.schema)])
    fetched = [keys, digests, ["ok"] * count, [None] * count, [200] * count, ["a"] * count]
    arrays = [pa.array(v, f.type) for v, f in zip(fetched, DOWNLOADS.schema, strict=True)]
    lake.publish(DOWNLOADS, [pa.RecordBatch.from_arrays(arrays, schema=DOWNLOADS.schema)])
    return dict(zip(texts, keys, strict=True))


class Oracle(BoxAnnotator):
    """A real tiny model whose answers are replaced by what SAID knows; counts what it is asked."""

    room = 10**9

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.asked: list[str] = []

    def ask(self, pictures, questions):
        if len(questions) > self.room:
            raise MemoryError("out of memory")
        super().ask(pictures, questions)  # the real thing runs, and must
        self.asked += questions
        return [Written(self.said(question), True) for question in questions]

    def said(self, question):
        known = {name: boxes for _, told in SAID for name, boxes in told.items()}
        return write_answer({n: b for n, b in known.items() if n in question})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny checkpoint."""
    return str(save_tiny(tmp_path_factory.mktemp("model") / "tiny", "qwen2_vl"))


@pytest.fixture
def params(model):
    """The repository's section, with the tiny model."""
    section = load_params(REPOSITORY / "params.yaml").annotate
    prompt = str(REPOSITORY / "spatialgen" / "grounding" / "prompt.txt")
    changed = {"model": model, "prompt": prompt, "gold": None, "max_new_tokens": 16}
    return section.model_copy(update=changed)


COMPUTE = compute_params(device="cpu", batch_pictures=4, threads=1)


def annotate(lake, params, annotator=None):
    """Run the stage; the counts by view."""
    stage = annotate_stage(params, COMPUTE, lake.path("images"))
    if annotator is not None:
        pictures = Pictures(lake["images"].dataset())
        opened = Annotate(annotator, pictures, ahead=8)
        stage = type(stage)(**vars(stage) | {"open": lambda device: opened})
    asked = asked_rows(lake, params)
    counts = {
        view: answer_rows(lake, stage, with_question(rows), Inline("cpu"), quiet=True)
        for view, rows in asked.items()
    }
    publish_boxes(lake, stage, asked, params)
    return stage, asked, counts


def oracle(params):
    return Oracle.from_pretrained(params.model, device="cpu", max_new_tokens=params.max_new_tokens)


def boxes(lake):
    return {row["row_id"]: row for row in lake["boxes"].dataset().to_table().to_pylist()}


def test_rows_get_boxes_verdicts_and_reasons(lake, params):
    captions = [caption for caption, _ in SAID]
    keys = fill(lake, captions, [picture(n) for n in range(len(captions))])
    told = {"一只小猫在箱子的左边": 0, "箱子左边有一只小猫": 1, "灯笼在左上角": 2}

    class Told(Oracle):
        def said(self, question):
            del question
            caption = order.pop(0)
            return write_answer(SAID[told[caption]][1])

    annotator = Told.from_pretrained(params.model, device="cpu", max_new_tokens=16)
    asked = with_question(asked_rows(lake, params)["plain"])
    measure_sizes: Any = annotate_stage(params, COMPUTE, lake.path("images")).sizes
    sizes = measure_sizes(asked.combine_chunks().to_batches()[0])
    order = [asked["caption"].to_pylist()[i] for i in np.argsort(-sizes, kind="stable")]
    _, _, counts = annotate(lake, params, annotator)
    rows = boxes(lake)
    assert counts["plain"].computed == 3, "a caption that names nothing is not asked about"
    agreeing = rows[keys["一只小猫在箱子的左边"]]
    assert [each["name"] for each in agreeing["objects"]] == ["小猫", "箱子"]
    assert agreeing["objects"][0]["bbox"] == pytest.approx(LEFT, abs=1e-3)
    assert agreeing["spatial_agree"] is True
    failing = rows[keys["箱子左边有一只小猫"]]
    assert failing["spatial_agree"] is False
    assert failing["relations"] == [
        {"relation": "left", "subject": "小猫", "objects": ["箱子"], "agrees": False}
    ]
    absent = rows[keys["灯笼在左上角"]]
    assert (absent["objects"], absent["absent"], absent["spatial_agree"]) == ([], ["灯笼"], None)
    nameless = rows[keys["左边"]]
    assert nameless["error"].startswith("no_names:")
    assert (nameless["raw"], nameless["objects"]) == ([], [])
    scores = measure(lake, *empty(lake, params))
    metrics = count_boxes(lake, scores)
    assert (metrics["rows"], metrics["failed"], metrics["objects"]) == (4, 1, 4)
    assert metrics["spatial_agree"]["value"] == 0.5
    assert "truth" not in metrics


def empty(lake, params):
    stage = annotate_stage(params, COMPUTE, lake.path("images"))
    asked = asked_rows(lake, params)
    return stage, {}, asked, asked["plain"].slice(0, 0), params


def test_a_damaged_picture_is_an_error_row_and_its_neighbours_are_answered(lake, params):
    files = [picture(n) for n in range(6)]
    files[2] = files[2][:60]
    captions = [f"{number}只小猫在箱子左边" for number in "一二三四五六"]
    keys = fill(lake, captions, files)
    _, _, counts = annotate(lake, params, oracle(params))
    rows = boxes(lake)
    assert (counts["plain"].computed, counts["plain"].failed) == (6, 1)
    assert rows[keys[captions[2]]]["error"].startswith("unreadable_picture: ")
    assert sum(row["error"] is None for row in rows.values()) == 5
    assert annotate(lake, params, oracle(params))[2]["plain"].computed == 0, "permanent"


def test_an_endless_caption_is_an_error_row(lake, params):
    captions = ["小猫在箱子左边" + "很" * 5000, "小猫在箱子左边"]
    keys = fill(lake, captions, [picture(1), picture(2)])
    prompt = str(REPOSITORY / "spatialgen" / "grounding" / "caption_prompt.txt")
    annotate(lake, params.model_copy(update={"prompt": prompt}), oracle(params))
    rows = boxes(lake)
    assert rows[keys[captions[0]]]["error"].startswith("too_long: the question has 50")
    assert rows[keys[captions[1]]]["error"] is None


def test_out_of_memory_halves_the_batch_and_quarantines_the_row_that_fails_alone(lake, params):
    captions = [f"{number}只小猫在箱子左边" for number in "一二三四五六七八"]
    keys = fill(lake, captions, [picture(n) for n in range(8)])
    bad = captions[3]

    poison = 0

    class Small(Oracle):
        room = 2

        def ask(self, pictures, questions):
            if any("小猫" in q for q in questions) and poison in [id(p) for p in pictures]:
                raise MemoryError("CUDA out of memory")
            return super().ask(pictures, questions)

        def prepare(self, image):
            nonlocal poison
            prepared = super().prepare(image)
            if image.getpixel((0, 0))[0] == 3:
                poison = id(prepared)
            return prepared

    small = Small.from_pretrained(params.model, device="cpu", max_new_tokens=16)
    _, _, counts = annotate(lake, params, small)
    rows = boxes(lake)
    assert (counts["plain"].computed, counts["plain"].failed) == (8, 1)
    assert rows[keys[bad]]["error"].startswith("out of memory")
    assert len(small.asked) == 7


def test_an_answer_without_a_box_is_a_failure_that_quotes_it(lake, params):
    keys = fill(lake, ["小猫在箱子左边"], [picture(1)])

    class Talker(Oracle):
        def said(self, question):
            return "对不起，\n我看不清。"

    talker = Talker.from_pretrained(params.model, device="cpu", max_new_tokens=16)
    annotate(lake, params, talker)
    row = boxes(lake)[keys["小猫在箱子左边"]]
    assert row["error"] == "unreadable_answer: '对不起， 我看不清。'"
    assert row["raw"][0]["text"] == "对不起，\n我看不清。", "kept as it was"


def test_a_bare_no_means_that_all_that_was_asked_for_is_absent(lake, params):
    keys = fill(lake, ["小猫在箱子左边"], [picture(1)])

    class No(Oracle):
        def said(self, question):
            return "无"

    annotate(lake, params, No.from_pretrained(params.model, device="cpu", max_new_tokens=16))
    row = boxes(lake)[keys["小猫在箱子左边"]]
    assert (row["error"], row["absent"]) == (None, ["小猫", "箱子"])


def test_a_second_look_that_fails_is_no_disagreement(lake, params):
    keys = fill(lake, [SAID[0][0]], [picture(1)])
    annotate(lake, params, oracle(params))

    class Breaks(Oracle):
        def ask(self, pictures, questions):
            raise RuntimeError("no device")

    twice = params.model_copy(update={"passes": 2})
    breaks = Breaks.from_pretrained(params.model, device="cpu", max_new_tokens=16)
    annotate(lake, twice, breaks)
    row = boxes(lake)[keys[SAID[0][0]]]
    assert (row["self_iou"], row["problems"]) == (None, ["no_second_look"])


def test_a_mirrored_look_at_a_quoted_caption_is_refused(lake, params):
    fill(lake, [SAID[0][0]], [picture(1)])
    prompt = str(REPOSITORY / "spatialgen" / "grounding" / "caption_prompt.txt")
    with pytest.raises(ParamsError, match="mirrored shows left as right"):
        asked_rows(lake, params.model_copy(update={"prompt": prompt, "passes": 2}))


def test_a_second_look_asks_only_itself_and_gives_self_agreement(lake, params):
    keys = fill(lake, [SAID[0][0]], [picture(1)])
    _, _, counts = annotate(lake, params, oracle(params))
    assert boxes(lake)[keys[SAID[0][0]]]["self_iou"] is None
    twice = params.model_copy(update={"passes": 2})
    _, _, counts = annotate(lake, twice, oracle(params))
    assert (counts["plain"].computed, counts["mirrored"].computed) == (0, 1)
    row = boxes(lake)[keys[SAID[0][0]]]
    # The oracle says the same of the mirrored picture: 小猫 and 箱子 swap places, and miss.
    assert [each["self_iou"] for each in row["objects"]] == [0.0, 0.0]
    assert [look["view"] for look in row["raw"]] == ["plain", "mirrored"]
    assert row["self_iou"] == 0


def test_thresholds_select_and_ask_nothing(lake, params):
    keys = fill(lake, [SAID[0][0]], [picture(1)])
    annotate(lake, params, oracle(params))
    strict = params.model_copy(update={"min_area": 0.5})
    _, _, counts = annotate(lake, strict, oracle(params))
    row = boxes(lake)[keys[SAID[0][0]]]
    assert counts["plain"].computed == 0
    assert (row["objects"], row["problems"]) == ([], ["tiny", "tiny"])


@pytest.mark.parametrize("change", [{"max_image_size": 112}, {"max_new_tokens": 17}])
def test_what_changes_answers_asks_again(lake, params, change):
    fill(lake, [SAID[0][0]], [picture(1)])
    annotate(lake, params)
    assert annotate(lake, params)[2]["plain"].computed == 0
    assert annotate(lake, params.model_copy(update=change))[2]["plain"].computed == 1


def test_new_rows_ask_only_themselves_and_equal_questions_once(lake, params):
    fill(lake, ["小猫在箱子左边"] * 3, [picture(1)] * 3)
    assert annotate(lake, params)[2]["plain"].computed == 1
    assert len(boxes(lake)) == 3
    fill(lake, ["小猫在箱子左边"] * 4, [*[picture(1)] * 3, picture(2)])
    assert annotate(lake, params)[2]["plain"].computed == 1


def test_a_caption_prompt_needs_no_names(lake, params):
    fill(lake, ["左边"], [picture(1)])
    prompt = str(REPOSITORY / "spatialgen" / "grounding" / "caption_prompt.txt")
    asked = asked_rows(lake, params.model_copy(update={"prompt": prompt}))["plain"]
    assert "“左边”" in asked["question"][0].as_py()


def test_answers_in_the_store_that_vanish_are_an_error(lake, params):
    fill(lake, [SAID[0][0]], [picture(1)])
    stage, asked, _ = annotate(lake, params)
    lance.dataset(str(lake.memo(stage.name, stage.schema).path)).delete("true")
    with pytest.raises(LakeError, match=r"the store lacks the answers of 1 of 1 rows"):
        publish_boxes(lake, stage, asked, params)


def test_a_pulled_table_fills_the_store(lake, params, tmp_path):
    fill(lake, [SAID[0][0], "左边"], [picture(1), picture(2)])
    stage, _, _ = annotate(lake, params, oracle(params))
    lance.dataset(str(lake.memo(stage.name, stage.schema).path)).delete("true")
    assert seed_answers(lake, stage, params) == 1
    assert seed_answers(lake, stage, params) == 0
    assert annotate(lake, params, oracle(params))[2]["plain"].computed == 0


def test_gold_measures_and_plants_names(lake, params, tmp_path):
    captions = [caption for caption, _ in SAID[:3]]
    keys = fill(lake, captions, [picture(n) for n in range(3)])
    gold = tmp_path / "gold.jsonl"
    lines = [
        {"row_id": keys[captions[0]],
         "objects": [{"name": "小猫", "bbox": RIGHT}, {"name": "箱子", "bbox": LEFT}]},
        {"url": "http://a/2", "caption": captions[2], "objects": [{"name": "灯笼", "bbox": LEFT}]},
    ]  # fmt: skip
    gold.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    known = read_gold(gold)
    assert set(known) == {keys[captions[0]], keys[captions[2]]}
    stage, asked, _ = annotate(lake, params, oracle(params))
    planted = planted_rows(asked["plain"], known, "{names}", params)
    assert planted.num_rows == 2
    for row in planted.to_pylist():
        (name,) = set(row["names"]) - known[row["row_id"]].shown
        assert name not in row["caption"]
        assert name in row["question"]
    liar = oracle(params)
    pictures = Pictures(lake["images"].dataset())
    lying = type(stage)(**vars(stage) | {"open": lambda device: Annotate(liar, pictures, ahead=4)})
    answer_rows(lake, lying, planted, Inline("cpu"), quiet=True)
    scores = measure(lake, stage, known, asked, planted, params)
    figures = scores.measured()
    assert figures["recall_50"].value == pytest.approx(2 / 3), "灯笼 is missed"
    assert figures["mean_iou"].value == pytest.approx(1, abs=0.02)
    # The oracle boxes 小猫 and 箱子 wherever they are asked for, and never 灯笼.
    named = [set(row["names"]) - known[row["row_id"]].shown for row in planted.to_pylist()]
    lies = sum(name != {"灯笼"} for name in named)
    assert (figures["false_box_rate"].n, figures["false_box_rate"].value) == (2, lies / 2)
    write_recall_plot(scores, tmp_path / "plot.csv")
    assert len((tmp_path / "plot.csv").read_text().splitlines()) == 22
    assert planted_rows(asked["plain"], known, "{caption}", params).num_rows == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nonsense", "row 2 has no row_id"),
        ('{"objects": []}', "row 2 has no row_id"),
        ('{"row_id": 1, "objects": [{"name": "猫", "bbox": [0.5, 0, 0.1, 1]}]}', r"is no \[x1, y1"),
        ('{"row_id": 1, "objects": [{"name": "猫", "bbox": [10, 0, 90, 100]}]}', r"is no \[x1, y1"),
        ("[1]", "row 2 has no row_id"),
        ('{"row_id": 7, "objects": []}', "row 2 repeats row_id 7"),
        ('{"row_id": 18446744073709551616, "objects": []}', "is no 64-bit integer"),
        ('{"row_id": true, "objects": []}', "is no 64-bit integer"),
        ('{"row_id": 1, "objects": [{"name": 5, "bbox": [0, 0, 1, 1]}]}', "name 5 is no text"),
        ("[" * 100_000, "row 2 has no row_id"),
    ],
)
def test_a_wrong_gold_row_is_named(tmp_path, line, words):
    path = tmp_path / "gold.jsonl"
    path.write_text('{"row_id": 7, "objects": []}\n' + line)
    with pytest.raises(InputError, match=words):
        read_gold(path)
    with pytest.raises(InputError, match=r"annotate.gold = .*missing.parquet cannot be read"):
        read_gold(tmp_path / "missing.parquet")


def test_a_prompt_without_a_place_for_names_is_refused(tmp_path):
    (tmp_path / "prompt.txt").write_text("框出一切")
    with pytest.raises(ParamsError, match=r"holds neither \{names\} nor \{caption\}"):
        read_box_prompt(tmp_path / "prompt.txt")
    with pytest.raises(ParamsError, match="cannot be read"):
        read_box_prompt(tmp_path / "nothing.txt")


def test_pictures_are_found_by_digest(lake, photos):
    fill(lake, ["小猫在箱子左边"] * 20, photos[:20])
    pictures = Pictures(lake["images"].dataset())
    for photo in photos[:20]:
        assert pictures.read(hashlib.sha256(photo).hexdigest()) == photo
    with pytest.raises(UnreadableError, match="holds no picture"):
        pictures.read("0" * 64)


def test_sixteen_bits_and_transparency_look_as_they_should():
    def decoded(image, **options):
        buffer = io.BytesIO()
        image.save(buffer, "PNG", **options)
        return decode(buffer.getvalue()).convert("L")

    grey = Image.fromarray(np.full((4, 4), 32768, np.uint16))
    assert decoded(grey).getpixel((0, 0)) == 128
    assert decoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0))).getpixel((0, 0)) == 255
    assert decoded(Image.new("RGB", (4, 4)), transparency=(0, 0, 0)).getpixel((0, 0)) == 255
    with pytest.raises(UnreadableError):
        decode(b"")


def test_no_memory_is_not_the_pictures_fault(monkeypatch):
    def none_left(file):
        raise MemoryError

    monkeypatch.setattr(Image, "open", none_left)
    with pytest.raises(MemoryError):
        decode(picture(1))


def test_views_turn_boxes_as_they_turn_pictures():
    left = Image.new("RGB", (100, 60), "white")
    left.paste("black", (10, 20, 30, 40))
    box = [0.1, 20 / 60, 0.3, 40 / 60]
    dark = np.asarray(shown(left, "mirrored").convert("L")) < 128
    rows, columns = np.nonzero(dark)
    seen = [columns.min() / 100, rows.min() / 60, (columns.max() + 1) / 100, (rows.max() + 1) / 60]
    assert as_seen_plainly(seen, "mirrored") == pytest.approx(box)
    assert shown(left, "smaller").size == (67, 40)
    assert as_seen_plainly(box, "smaller") == box


def test_loading_runs_ahead_is_bounded_and_waiting_is_measured():
    loaded, lock = [], threading.Lock()

    def load(item):
        time.sleep(0.02)
        with lock:
            loaded.append(item)
        if item == 5:
            raise UnreadableError("five")
        return item * 10

    ahead = Ahead(load, ahead=4, threads=2)
    ahead.expect(range(20))
    time.sleep(0.3)
    assert sorted(loaded) == [0, 1, 2, 3], "no more than asked"
    before = ahead.waited_s
    assert ahead.take([0, 1]) == [0, 10]
    assert ahead.waited_s - before < 0.02, "it was there"
    ahead.done([0, 1])
    results = ahead.take([4, 5])
    assert results[0] == 40
    assert isinstance(results[1], UnreadableError)
    assert ahead.waited_s > before
    assert ahead.take([99]) == [990], "what nobody expected is loaded, too"


def test_real_photographs_outside_its_world_give_valid_boxes_or_none(lake, photos, params):
    captions = ["一个男人在汽车的左边", "一只小猫在椅子上", "天空下有大象"] * 8
    fill(lake, captions, photos[:24])
    shipped = params.model_copy(
        update={
            "model": str(REPOSITORY / "spatialgen" / "sample" / "qwen2-vl-small"),
            "max_new_tokens": 120,
        }
    )
    _, _, counts = annotate(lake, shipped)
    assert counts["plain"].failed == 0
    for row in boxes(lake).values():
        for each in row["objects"]:
            x1, y1, x2, y2 = each["bbox"]
            assert 0 <= x1 < x2 <= 1
            assert 0 <= y1 < y2 <= 1
