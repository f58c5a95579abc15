"""NSR-1K: its own files, its own rules, and the command that trains and scores on them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from spatialgen.cli.app import app
from spatialgen.errors import InputError
from spatialgen.layouts import BBox, Layout, Placed, mirror
from spatialgen.planner.nsr1k import training
from spatialgen.planner.nsr1k.files import read_counting, read_spatial, written
from spatialgen.planner.nsr1k.lexicon import with_words
from spatialgen.planner.nsr1k.rows import COPIES, PromptRows, copies_of, hold_out
from spatialgen.planner.nsr1k.rules import boxes_named, direction, follows
from spatialgen.planner.nsr1k.scores import score_counting, score_spatial
from spatialgen.planner.nsr1k.words import (
    positions_not_shown,
    renamed,
    said_otherwise,
    swap_words,
)
from spatialgen.planner.planner import LayoutPlanner
from tests.conftest import REPOSITORY

THINGS = ("cat", "dog", "wine glass", "bus", "teddy bear", "chair")
SIDES = {"left": "to the left of", "right": "to the right of", "top": "on top of",
         "bottom": "under"}  # fmt: skip


def spatial_row(number: int, relation: str, first: str, second: str) -> dict[str, Any]:
    near, far = [0.0, 0.4, 0.25, 0.2], [0.7, 0.4, 0.301, 0.2]  # as COCO's, past 1 by rounding
    if relation in ("top", "bottom"):
        near, far = [0.4, 0.0, 0.2, 0.25], [0.4, 0.7, 0.2, 0.3]
    if relation in ("right", "bottom"):
        near, far = far, near
    return {
        "id": number, "image_id": 1000 + number, "relation": relation, "type": "template",
        "prompt": f"a {first} {SIDES[relation]} a {second}",
        "obj1": [first, near], "obj2": [second, far],
    }  # fmt: skip


def counting_row(number: int, name: str, count: int) -> dict[str, Any]:
    boxes = [[name, [0.2 * place, 0.1, 0.15, 0.5]] for place in range(count)]
    return {
        "id": number, "image_id": 5000 + number, "sub-type": "single-category",
        "prompt": f"there are {count} {name}s", "num_object": [[name, count]], "object_list": boxes,
    }  # fmt: skip


def write(path: Path, rows: object) -> Path:
    path.write_text(json.dumps(rows), encoding="utf-8")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small NSR-1K: 48 prompts to train on, 12 to ask; one of these has no picture."""
    pairs = [(a, b) for a in THINGS for b in THINGS if a != b]
    rows = [
        spatial_row(number, [*SIDES][number % 4], *pairs[number % len(pairs)])
        for number in range(60)
    ]
    rows[-1] |= {"obj1": [rows[-1]["obj1"][0], [0] * 4], "obj2": [rows[-1]["obj2"][0], [0] * 4]}
    home = tmp_path / "nsr1k"
    home.mkdir()
    write(home / "spatial.train.json", rows[:48])
    write(home / "spatial.val.json", rows[48:])
    return home


def test_the_reference_boxes_score_as_published(nsr1k: Path) -> None:
    prompts = read_spatial(nsr1k / "spatial.val.json")
    score = score_spatial(prompts, [[each.layout] for each in prompts])
    assert (score.layouts, score.missing) == (283, 19)
    assert score.accuracy.value == pytest.approx(264 / 283)  # 93.3 %
    assert score.mean_iou.value == 1
    assert score.mean_iou.n == 264


def test_every_prompt_to_train_on_is_true_and_named_in_its_text(nsr1k: Path) -> None:
    prompts = read_spatial(nsr1k / "spatial.train.json")
    assert len(prompts) == 738
    for each in prompts:
        assert follows(each.relation, *(boxes_named(name, each.layout) for name in each.names))
        assert all(placed.name in each.text for placed in each.layout)


def test_the_counting_reference_is_right_but_for_its_own_faults(nsr1k: Path) -> None:
    prompts = read_counting(nsr1k / "counting.val.json")
    score = score_counting(prompts, [[each.layout] for each in prompts])
    assert score.accuracy.n == 762
    assert (score.accuracy.value or 0) > 0.98
    assert score.precision.n == 662  # comparisons have none
    assert score.mae < 0.02


def make_box(x: float, y: float, width: float, height: float) -> BBox:
    return x, y, x + width, y + height


side, extent = st.integers(0, 12).map(lambda n: n / 16), st.integers(1, 4).map(lambda n: n / 16)
boxes = st.builds(make_box, side, side, extent, extent)
OTHER = {"left": "right", "right": "left", "top": "bottom", "bottom": "top", None: None}


@given(boxes, boxes)
def test_directions_turn_with_the_mirror_and_the_viewer(a: BBox, b: BBox) -> None:
    seen = direction(a, b)
    assert direction(b, a) == OTHER[seen]
    one, other = mirror((Placed("a", a), Placed("b", b)))
    sideways = seen in ("left", "right")
    assert direction(one.bbox, other.bbox) == (OTHER[seen] if sideways else seen)
    assert follows("next to", [a], [b]) == sideways == follows("next to", [b], [a])


def test_a_diagonal_is_no_direction() -> None:
    at = [(x, x, x + 0.1, x + 0.1) for x in (0.1, 0.3)]
    assert direction(at[0], at[1]) is None
    assert direction(at[0], at[0]) is None


def layout_of(*things: tuple[str, BBox]) -> Layout:
    return tuple(Placed(name, bbox) for name, bbox in things)


LEFT, RIGHT = (0.0, 0.4, 0.2, 0.6), (0.7, 0.4, 0.9, 0.6)


def test_things_are_found_by_the_closest_name_and_missing_ones_fail(folder: Path) -> None:
    (prompt,) = [each for each in read_spatial(folder / "spatial.val.json") if each.id == 48]
    first, second = prompt.names
    near = [placed.bbox for placed in prompt.layout]
    layouts = [
        prompt.layout,
        layout_of((f"{first}s", near[0]), (second, near[1])),
        layout_of((first, near[0])),
        layout_of((first, near[1]), (second, near[0])),
        (),
    ]
    score = score_spatial([prompt], [layouts])
    assert score.accuracy.value == pytest.approx(2 / 5)
    assert score.missing == 2


def test_counting_compares_the_first_number_and_the_order(tmp_path: Path) -> None:
    row = counting_row(1, "cat", 3) | {
        "sub-type": "comparison", "num_object": [["cat", 3], ["dog", 1]],
        "prompt": "three cats and a few dogs, more cats than dogs",
    }  # fmt: skip
    (prompt,) = read_counting(write(tmp_path / "c.json", [row]))
    cats = [("cats", LEFT)] * 3
    cases = [(cats + [("dogs", RIGHT)] * 2, 1.0), (cats + [("dogs", RIGHT)] * 3, 0.0),
             ([*cats[:2], ("dogs", RIGHT)], 0.0)]  # fmt: skip
    for things, right in cases:
        assert score_counting([prompt], [[layout_of(*things)]]).accuracy.value == right


def test_counting_figures_are_means_over_prompts(tmp_path: Path) -> None:
    rows = [counting_row(1, "cat", 2), counting_row(2, "dog", 4)]
    prompts = read_counting(write(tmp_path / "c.json", rows))
    layouts = [layout_of(*[("cats", LEFT)] * 3), layout_of(*[("dog", LEFT)] * 2, ("cat", RIGHT))]
    score = score_counting(prompts, [[each] for each in layouts])
    assert score.precision.value == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert score.recall.value == pytest.approx((1 + 1 / 2) / 2)
    assert score.accuracy.value == 0
    assert score.mae == 1.5


def test_words_in_a_mirror() -> None:
    assert swap_words("a cat to the left of a dog") == "a cat to the right of a dog"
    assert swap_words("A bus On The Right Of a car") == "A bus On The left Of a car"
    assert swap_words("a cat under a car") == "a cat under a car"
    assert swap_words("A cat under a bench looking right at us") is None


@pytest.mark.parametrize("relation", SIDES)
def test_what_is_said_otherwise_is_as_true(relation: str, tmp_path: Path) -> None:
    rows = [spatial_row(1, relation, "cat", "wine glass")]
    (prompt,) = read_spatial(write(tmp_path / "s.json", rows))
    others = said_otherwise(prompt.text)
    assert len(others) >= 3
    assert prompt.text not in others
    for text in (prompt.text, *others):
        assert positions_not_shown(text, prompt.layout) == 0
        assert positions_not_shown(text, mirror(prompt.layout)[::-1]) == (
            relation in ("left", "right")
        )
        text, layout = renamed(text, prompt.layout, ["bus", "fork"])
        assert positions_not_shown(text, layout) == 0
        assert {placed.name for placed in layout} == {"bus", "fork"}


def test_the_judge_reads_it_and_each_other() -> None:
    layout = layout_of(("bench", LEFT), ("remote", RIGHT))
    assert positions_not_shown("A bench and a remote next to each other", layout) == 0
    assert positions_not_shown("A bench with a remote on top of it", layout) == 1
    assert positions_not_shown("A bench next to a tree", layout) == 1
    assert positions_not_shown("A bench", layout) == 0


def test_names_are_whole_words_of_the_text() -> None:
    assert written("cat", "two Cats and a caterpillar near a cat") == "cat"
    assert written("cat", "Cats in a row") == "Cats"
    assert written("spoon", "a teaspoon") == "teaspoon"
    assert written("person", "people") == "person"


def damaged(**changes: object) -> Callable[[list[dict[str, Any]]], object]:
    return lambda rows: [rows[0], rows[1] | changes]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: {"rows": rows}, "is no list of prompts"),
        (lambda rows: [], "is no list of prompts"),
        (lambda rows: [rows[0], 5], "row 1 is damaged"),
        (lambda rows: [rows[0], {"id": 3}], "row 1 has no 'prompt'"),
        (lambda rows: [rows[0], rows[0]], "an id occurs twice"),
        (damaged(prompt=" "), "' ' is no text"),
        (damaged(relation="inside"), "'inside' is none of left, right, top, bottom, next to"),
        (damaged(obj1=["cat", [0.2, 0.2, -0.1, 0.1]]), "is no [x, y, w, h]"),
        (damaged(obj1=["cat", [0.2, 0.2, 0.0, 0.1]]), "is no [x, y, w, h]"),
        (damaged(obj1=["cat", [0.2, 0.2, 0.9, 0.1]]), "is no [x, y, w, h]"),
        (damaged(obj1=["cat", [0.2, float("nan"), 0.1, 0.1]]), "is no [x, y, w, h]"),
        (damaged(obj1=["cat", [12, 30]]), "row 1 is damaged"),
        (damaged(obj2=["", [0.2, 0.2, 0.1, 0.1]]), "'' is no name"),
    ],
)
def test_damaged_files_are_named(
    tmp_path: Path, change: Callable[[list[dict[str, Any]]], object], words: str
) -> None:
    rows = [spatial_row(number, "left", "cat", "dog") for number in range(2)]
    path = write(tmp_path / "spatial.train.json", change(rows))
    with pytest.raises(InputError, match="take it anew") as error:
        read_spatial(path)
    assert words in str(error.value)
    assert str(path) in str(error.value)


def test_torn_and_missing_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "spatial.train.json"
    with pytest.raises(InputError, match="cannot be read"):
        read_spatial(path)
    path.write_text('[{"id": 1, ', encoding="utf-8")
    with pytest.raises(InputError, match="is no JSON"):
        read_spatial(path)


def test_rows_are_their_content(folder: Path) -> None:
    prompts = read_spatial(folder / "spatial.train.json")
    kept, held = hold_out(prompts)
    assert len(kept) + len(held) == 48
    assert held
    assert hold_out(prompts[::-1])[1] == held[::-1]
    rows = PromptRows.of(copies_of(kept))
    assert len(kept) < len(rows) <= COPIES * len(kept)
    assert PromptRows.of(copies_of(kept[::-1])).digest == rows.digest
    (row,) = rows.read([3])
    assert row["row_id"] == rows.row_ids[3]


def test_words_that_a_base_spells_get_a_token_and_keep_their_text(tmp_path: Path) -> None:
    planner = LayoutPlanner.from_base(str(REPOSITORY / "spatialgen/sample/qwen2-small"), bins=16)
    texts = ["a wine glass under a cat"] * 3 + ["a snowboard"]
    before = len(planner.tokenizer)
    known = with_words(planner, texts)
    assert known.tokenizer.tokenize("a wine glass") == ["a", "Ġ", "wine", "Ġ", "glass"]
    assert "cat" not in known.tokenizer.tokenize("a caterpillar")
    assert "snowboard" not in known.tokenizer.tokenize("a snowboard")
    for text in (texts[0], "caterpillar", "红色 cat"):
        assert known.tokenizer.decode(known.tokenizer(text)["input_ids"]) == text
    assert len(known.tokenizer) == before + 4
    assert with_words(known, texts) is known
    known.save_pretrained(tmp_path)
    again = LayoutPlanner.from_pretrained(tmp_path)
    assert again.plan(texts[0]) == known.plan(texts[0])


Command = Callable[..., Result]


@pytest.fixture
def command(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("SPATIALGEN_STORE", str(tmp_path / "store"))

    def run(*options: str) -> Result:
        arguments = ["eval", "planner", "--benchmark", "nsr1k", str(folder), "--device", "cpu",
                     "--steps", "2", "--batch", "4", "--samples", "2", *options]  # fmt: skip
        return CliRunner().invoke(app, arguments)

    return run


def test_a_run_prints_ours_beside_others_and_is_not_trained_twice(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = command("--format", "json")
    assert first.exit_code == 0, first.exception
    found = {row["layouts"]: row for row in json.loads(first.stdout)}
    greedy, best = found["ours, greedy"], found["ours, best of the drawn by the judge"]
    assert greedy["n"] == best["n"] == 12
    assert greedy["lo"] <= greedy["accuracy"] <= greedy["hi"]
    assert "no independent figure" in best["source"]
    assert found["ours, drawn"]["of each prompt"] == 2
    assert found["reference boxes"]["accuracy"] == pytest.approx(11 / 12)
    assert found["reference boxes"]["missing"] == 1
    assert found["LayoutGPT, GPT-4"]["accuracy"] == 0.916
    assert "counting was not trained and is not scored" in first.stderr
    assert len([*(tmp_path / "store" / "train").glob("nsr1k-*/result")]) == 1

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a finished training was begun again")

    monkeypatch.setattr(training, "make_loop", refuse)
    assert command("--format", "json").stdout == first.stdout
    assert isinstance(command("--seed", "1").exception, AssertionError)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # of peft
def test_counting_is_scored_where_it_can_be_trained(command: Command, folder: Path) -> None:
    rows = [counting_row(n, ("cat", "bus")[n % 2], 1 + n % 3) for n in range(16)]
    write(folder / "counting.train.json", rows[:10])
    write(folder / "counting.val.json", rows[10:])
    done = command("--format", "json", "--samples", "1", "--lora-rank", "2")
    assert done.exit_code == 0, done.exception
    rows = json.loads(done.stdout)
    assert {row["part"] for row in rows} == {"spatial", "counting"}
    found = {row["layouts"]: row for row in rows if row["part"] == "counting"}
    assert found["reference boxes"]["accuracy"] == 1
    assert found["ours, greedy"]["n"] == 6
    assert found["LayouSyn"]["accuracy"] == 0.951
    assert "not scored" not in done.stderr


def test_a_hub_id_needs_its_commit(command: Command) -> None:
    done = command("--base", "Qwen/Qwen2.5-0.5B")
    assert "add --revision" in str(done.exception)


def test_a_folder_without_the_files_is_said_so(command: Command, folder: Path) -> None:
    (folder / "spatial.val.json").unlink()
    assert "spatial.val.json cannot be read" in str(command().exception)
