"""A folder of pictures with a JSONL file becomes rows of the lake; what is no sample is said."""

import csv
import hashlib
import io
import json
import os
import shlex
import time
import tracemalloc
from pathlib import Path

import lance
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from PIL import Image

from spatialgen.cli.imported import next_command
from spatialgen.errors import InputError
from spatialgen.exchange.forms import Unit
from spatialgen.exchange.imports import BOXES, REJECTS, SHARD, Imported
from spatialgen.exchange.lines import MAX_LINE_BYTES, read_lines, read_sample
from spatialgen.fetch.stage import SCHEMA, download_stage
from spatialgen.lake.ids import h64, row_id
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import IMAGES
from spatialgen.rows.batcher import OUTCOME
from spatialgen.rows.engine import memo_rows
from tests.exchange.sets import (
    LEFT,
    RIGHT,
    bare_project,
    boxed,
    draw,
    many,
    params,
    publish_all,
    samples_of,
    take_in,
    write_set,
)

CAPTION = "小猫在箱子的左边"
OBJECTS = boxed(小猫=LEFT, 箱子=RIGHT)
GOOD = {"image_path": "good.jpg", "caption": CAPTION, "objects": OBJECTS}


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def in_units(unit: Unit, boxes, width, height):
    sizes = {Unit.unit: (1, 1), Unit.thousandths: (1000, 1000), Unit.pixels: (width, height)}[unit]
    scaled = [(name, [s * size for s, size in zip(box, sizes * 2, strict=True)])
              for name, box in boxes]  # fmt: skip
    return scaled


@pytest.mark.parametrize("unit", Unit)
def test_what_goes_in_comes_out_of_the_lake(lake: Lake, tmp_path: Path, unit: Unit) -> None:
    size = (200, 140)
    formats = ("jpeg", "png", "webp", "gif", "bmp")
    pictures = {f"a/{n}.{name}": draw(n, size, name) for n, name in enumerate(formats)}
    scaled = in_units(unit, [("小猫", LEFT), ("箱子", RIGHT)], *size)
    listed = [{"name": name, "bbox": box} for name, box in scaled]
    marked = "".join(f"<obj>{name}</obj><box>{box}</box>" for name, box in scaled)
    first = next(iter(pictures))
    lines = [
        {"image_path": path, "caption": f"{CAPTION}，第{n}", "objects": (listed, marked)[n % 2],
         "more": 1}
        for n, path in enumerate(pictures)
    ]  # fmt: skip
    lines += [
        {"image_path": first, "caption": '左边是"小猫",\n右边是箱子', "objects": []},
        {"image_path": first, "caption": "左边,", "objects": listed,
         "url": 'https://b.test/?a="1",2 3'},
        {"image_path": str(tmp_path / "set" / first), "caption": "上边什么都没有", "objects": " "},
    ]  # fmt: skip
    done = take_in(lake, write_set(tmp_path / "set", lines, pictures), tmp_path / "out", unit)
    assert (done.lines, done.samples, done.with_objects) == (8, 8, 8)
    assert (done.new_urls, dict(done.rejects)) == (6, {}), "a picture without a URL has one"
    publish_all(lake, tmp_path / "out")
    found = samples_of(lake)
    assert len(found) == 8
    for line in lines:
        content = pictures.get(str(line["image_path"]), pictures[first])
        sha256 = hashlib.sha256(content).hexdigest()
        url = str(line.get("url", f"https://imported.invalid/{sha256}"))
        row = found[row_id(url, str(line["caption"]))]
        assert (row["url"], row["caption"], row["sha256"]) == (url, line["caption"], sha256)
        assert (row["width"], row["height"], row["error"]) == (*size, None)
        objects = [(each["name"], each["bbox"]) for each in row["objects"]]  # type: ignore[attr-defined]
        expected = [] if line["objects"] in ([], " ") else [("小猫", LEFT), ("箱子", RIGHT)]
        assert [name for name, _ in objects] == [name for name, _ in expected]
        np.testing.assert_allclose([b for _, b in objects], [b for _, b in expected], atol=1e-6)
    assert {row["format"] for row in found.values()} == set(formats)
    stored = lake.stored("images", IMAGES.schema).open()
    assert stored is not None
    table = stored.to_table(columns=["phash", "n_bytes"])
    assert table.num_rows == 5, "a picture that rows share is kept once"
    assert table["phash"].null_count == 0


def test_a_line_without_objects_is_left_to_the_annotator(lake: Lake, tmp_path: Path) -> None:
    lines = [GOOD, {"image_path": "good.jpg", "caption": "左边是猫"}]
    source = write_set(tmp_path / "set", lines, {"good.jpg": draw(1)})
    done = take_in(lake, source, tmp_path / "out")
    assert (done.samples, done.with_objects) == (2, 1)
    assert pq.read_table(tmp_path / "out" / BOXES).num_rows == 1


def line(**changed: object) -> dict[str, object]:
    return {**GOOD, "caption": "右边是猫", **changed}


def boxes(*sides: object) -> list[dict[str, object]]:
    return [{"name": "猫", "bbox": list(sides)}]


BAD: list[tuple[object, str, str]] = [
    (b"{", "no_object", "no JSON"),
    (b"[" * 100_000, "no_object", "no JSON"),
    (b"[1]", "no_object", "a list"),
    (b"null", "no_object", "a NoneType"),
    (b'{"image_path": "good.jpg", "caption": "\xff"}', "invalid_utf8", "0xff"),
    (b'{"image_path": "good.jpg", "caption": "\\ud800"}', "invalid_utf8", "half a character"),
    (b" " * MAX_LINE_BYTES + b"{}", "too_long", "more than"),
    ({"caption": "左", "objects": []}, "bad_value", "image_path is None"),
    (line(image_path=5), "bad_value", "image_path is 5"),
    (line(caption=None), "bad_value", "caption is None"),
    (line(caption=" \n"), "bad_value", "caption is"),
    (line(url=["x"]), "bad_value", "url is"),
    (line(caption="左" * 30_000), "too_long", "as a CSV record"),
    (line(caption="左\n" * 40), "unterminated_quote", "CSV record"),
    (line(objects=5), "bad_objects", "objects is 5"),
    (line(objects="<obj>猫</obj><box>[1,2,3</box>"), "bad_objects", "is no <obj>"),
    (line(objects="猫在左边"), "bad_objects", "is no <obj>"),
    (line(objects=["猫"]), "bad_objects", "no name and bbox"),
    (line(objects=[{"name": "", "bbox": LEFT}]), "bad_objects", "is no name"),
    (line(objects=[{"name": "。", "bbox": LEFT}]), "bad_objects", "is no name"),
    (line(objects=boxes(0.5, 0, 0.1, 1)), "bad_objects", "of 猫 is no"),
    (line(objects=boxes(0, 0, 1, 1.001)), "bad_objects", "--boxes"),
    (line(objects=boxes(-0.1, 0, 1, 1)), "bad_objects", "inside a picture of 160 x 140"),
    (line(objects=boxes(0.5, 0, 0.5 + 1e-12, 1)), "bad_objects", "of 猫 is no"),
    (line(objects=boxes(0, 0, float("nan"), 1)), "bad_objects", "of 猫 is no"),
    (line(objects=boxes(0, 0, float("inf"), 1)), "bad_objects", "of 猫 is no"),
    (line(objects=boxes(0, 0, 1, 1, 0, 0)), "bad_objects", "of 猫 is no"),
    (line(objects=boxes(0, 0, 10**400, 1)), "bad_objects", "of 猫 is no"),
    (line(objects=boxes("x", None, {}, [])), "bad_objects", "of 猫 is no"),
    (line(image_path="missing.jpg"), "no_file", "No such file"),
    (line(image_path="zero\0.jpg"), "no_file", "null"),
    (line(image_path="x" * 5000), "no_file", "too long"),
    (line(image_path="."), "outside", "is outside"),
    (line(image_path="../secret.jpg"), "outside", "../secret.jpg is outside"),
    (line(image_path="folder"), "no_file", "no ordinary file"),
    (line(image_path="link.jpg"), "no_file", "is a link"),
    (line(image_path="linked/secret.jpg"), "no_file", "is a link"),
    (line(image_path="pipe"), "no_file", "no ordinary file"),
    (line(image_path="text.jpg"), "not_image", "begins with"),
    (line(image_path="empty.jpg"), "not_image", "begins with"),
    (line(image_path="cut.jpg"), "damaged", "without its end"),
    (line(image_path="rotten.png"), "damaged", "rotten.png"),
    (line(image_path="large.jpg"), "too_large", "download.max_bytes"),
    (line(image_path="bomb.png"), "too_many_pixels", "exceeds"),
    (dict(GOOD), "duplicate", "an earlier line"),
    (line(image_path="other.jpg", url="https://a.test/1"), "url_taken", "the store has picture"),
]


def bomb() -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (20_000, 10_000)).save(buffer, "PNG")
    return buffer.getvalue()


def test_every_line_that_is_no_sample_is_said_and_the_others_are_taken(
    lake: Lake, tmp_path: Path
) -> None:
    png = draw(3, format="PNG")
    pictures = {
        "good.jpg": draw(1), "other.jpg": draw(2), "text.jpg": b"<html>", "empty.jpg": b"",
        "cut.jpg": draw(4)[:-100], "rotten.png": png[:200] + bytes(200) + png[400:],
        "large.jpg": draw(5, (3000, 3000)), "folder/x.jpg": draw(6), "bomb.png": bomb(),
        "../secret.jpg": draw(7), "last.jpg": draw(8),
    }  # fmt: skip
    first = {**GOOD, "url": "https://a.test/1"}
    last = {"image_path": "last.jpg", "caption": "最后，在右边", "objects": OBJECTS}
    lines = [first, GOOD, *(bad for bad, _, _ in BAD), b"", last]
    source = write_set(tmp_path / "set", lines, pictures)
    (source / "set.jsonl").write_bytes(b"\xef\xbb\xbf" + (source / "set.jsonl").read_bytes())
    (source / "link.jpg").symlink_to("good.jpg")
    (source / "linked").symlink_to("..")
    os.mkfifo(source / "pipe")
    done = take_in(lake, source, tmp_path / "out", changed={"download.max_bytes": 100_000})
    assert (done.lines, done.samples) == (len(BAD) + 3, 3)
    captions = [row["caption"] for row in read_csv(tmp_path / "out" / SHARD)]
    assert captions == [CAPTION, CAPTION, "最后，在右边"]
    rejects = read_csv(tmp_path / "out" / REJECTS)
    assert sum(done.rejects.values()) == len(rejects) == len(BAD)
    by_line = {int(row["line"]): row for row in rejects}
    for number, (bad, reason, words) in enumerate(BAD, 3):
        said = by_line[number]
        assert (said["reason"], words in said["why"]) == (reason, True), (bad, said)
        assert len(said["text"]) <= 1000
    publish_all(lake, tmp_path / "out")
    assert len(samples_of(lake)) == 3


def test_a_line_without_end_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "set.jsonl"
    with path.open("wb") as file:
        file.truncate(300 << 20)
        file.seek(0, os.SEEK_END)
        file.write(b"\n" + json.dumps(GOOD).encode())
    tracemalloc.start()
    (number, long, _), (second, good, _) = read_lines(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (number, len(long), second) == (1, MAX_LINE_BYTES + 1, 2)
    assert read_sample(good).caption == CAPTION
    assert peak < 20 << 20


def test_an_answer_without_a_picture_gives_way_and_one_with_another_stays(
    lake: Lake, tmp_path: Path
) -> None:
    chosen = params()
    stage = download_stage(chosen.download, chosen.compute)
    memo = lake.memo(stage.name, stage.schema)
    urls = [f"https://a.test/{n}" for n in range(3)]
    statuses = [("permanent", "gone", None), ("transient", "timeout", None), ("ok", None, "0" * 64)]
    answers = pa.Table.from_pylist(
        [{"status": s, "error": r, "reason": r, "sha256": d, "host": "a.test"}
         for s, r, d in statuses],
        schema=pa.schema([*SCHEMA, *OUTCOME]),
    )  # fmt: skip
    keys = [h64(stage.fp, url) for url in urls]
    memo.append(memo_rows(memo, stage, pa.table({"key": keys, "row_id": [0, 1, 2]}), answers))
    lines = [{**GOOD, "url": url} for url in urls]
    source = write_set(tmp_path / "set", lines, {"good.jpg": draw(1)})
    done = take_in(lake, source, tmp_path / "out")
    assert (done.samples, done.new_urls, dict(done.rejects)) == (2, 2, {"url_taken": 1})
    publish_all(lake, tmp_path / "out")
    assert {row["url"] for row in samples_of(lake).values()} == set(urls[:2])


def test_imported_again_it_adds_nothing_and_gives_the_same(lake: Lake, tmp_path: Path) -> None:
    source = many(tmp_path / "set", 30)
    first = take_in(lake, source, tmp_path / "one")
    again = take_in(lake, source, tmp_path / "two")
    assert (first.new_urls, again.new_urls, again.samples) == (30, 0, 30)
    for name in (SHARD, BOXES, REJECTS):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert lake.stored("images", IMAGES.schema).count_rows() == 30


def committed(path: Path) -> int:
    try:
        return int(lance.dataset(str(path)).count_rows())
    except (OSError, ValueError):
        return 0


def test_killed_it_goes_on_and_duplicates_nothing(tmp_path: Path) -> None:
    source, project = many(tmp_path / "set", 1500), bare_project(tmp_path / "project")
    out, store = tmp_path / "out", project.root / ".lake" / "store"
    command = ("spatialgen", "import", str(source), "--out", str(out))
    process = project.start(*command)
    deadline = time.monotonic() + 120
    while committed(store / "download.lance") == 0:
        assert process.poll() is None, "it is still at work"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    before = committed(store / "download.lance")
    assert 0 < before < 1500
    assert not out.exists()
    done = project.run(*command, "--format", "json")
    counts = {row["what"]: row["count"] for row in json.loads(done.stdout)}
    assert counts == {"lines": 1500, "samples": 1500, "with boxes": 1500,
                      "URLs new to the store": 1500 - before}  # fmt: skip
    assert f"dvc exp run -S candidates.csv={out / SHARD} -S annotate.given={out / BOXES}" in (
        done.stderr
    )
    lake = project.lake()
    (unique,) = lake.sql("select count(*) as n, count(distinct key) as k from store.download"
                         ).to_pylist()  # fmt: skip
    assert unique == {"n": 1500, "k": 1500}
    (unique,) = lake.sql("select count(*) as n, count(distinct sha256) as k from store.images"
                         ).to_pylist()  # fmt: skip
    assert unique == {"n": 1500, "k": 1500}
    assert len(read_csv(out / SHARD)) == pq.read_table(out / BOXES).num_rows == 1500


def test_what_cannot_be_imported_is_said(lake: Lake, tmp_path: Path) -> None:
    source = write_set(tmp_path / "set", [GOOD, line(image_path="no.jpg")], {"good.jpg": draw(1)})
    out = tmp_path / "out"
    for wrong, words in [
        (tmp_path / "none", "is neither a folder nor a file"),
        (tmp_path, r"does not hold one .jsonl file \(none\)"),
    ]:
        with pytest.raises(InputError, match=words):
            take_in(lake, wrong, out)
    (source / "second.jsonl").write_text(json.dumps(line(image_path="no.jpg")))
    with pytest.raises(InputError, match=r"\(second.jsonl, set.jsonl\); name the file"):
        take_in(lake, source, out)
    with pytest.raises(
        InputError, match=r"no line of .* is a sample \(no_file 1; line 1: .*No such"
    ):
        take_in(lake, source / "second.jsonl", out)
    assert not out.exists()
    take_in(lake, source / "set.jsonl", out)
    with pytest.raises(InputError, match="is not empty; remove it, or replace it with --force"):
        take_in(lake, source / "set.jsonl", out)


def test_the_next_command_quotes_for_shell_and_hydra():
    done = Imported(samples=1, with_objects=1)
    assert next_command(done, Path("/a/b")) == (
        "dvc exp run -S candidates.csv=/a/b/imported.csv -S annotate.given=/a/b/boxes.parquet"
    )
    command = next_command(done, Path('/数据 (1)/im,p"x'))
    value = shlex.split(command)[4]
    assert value == 'candidates.csv="/数据 (1)/im,p\\"x/imported.csv"'
    (override,) = OverridesParser.create().parse_overrides([value])
    assert override.value() == '/数据 (1)/im,p"x/imported.csv'


@pytest.mark.parametrize("unit", [Unit.thousandths, Unit.pixels])
def test_boxes_that_count_otherwise_are_noticed(lake: Lake, tmp_path: Path, unit: Unit) -> None:
    with pytest.raises(InputError, match=rf"does not count in {unit}; import it with --boxes unit"):
        take_in(lake, many(tmp_path / "set", 2), tmp_path / "out", unit)
    assert not (tmp_path / "out").exists()
