"""Folders of pictures with captions and boxes: what they hold, and that they come back equal."""

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from spatialgen.errors import InputError, LakeError, QueryError
from spatialgen.exchange.forms import Form
from spatialgen.exchange.samples import export_samples
from spatialgen.lake.ids import row_id
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import IMAGES
from tests.exchange.sets import (
    LEFT,
    RIGHT,
    bare_project,
    boxed,
    draw,
    many,
    publish_all,
    samples_of,
    take_in,
    write_set,
)

CAPTION = "小猫在箱子的左边"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake of four rows and three pictures; one row's boxes disagree with its caption."""
    folder = tmp_path_factory.mktemp("filled")
    pictures = {"a.jpg": draw(1), "b.png": draw(2, (200, 150), "PNG"), "c.jpg": draw(3)}
    lines: list[object] = [
        {"image_path": "a.jpg", "caption": CAPTION, "objects": boxed(小猫=LEFT, 箱子=RIGHT)},
        {"image_path": "a.jpg", "caption": "小猫在箱子旁边，\n\"对\"",
         "objects": boxed(小猫=LEFT, 箱子=[0.5, 0.25, 0.9, 0.75])},
        {"image_path": "b.png", "caption": CAPTION, "objects": boxed(小猫=RIGHT, 箱子=LEFT),
         "url": "https://b.test/1"},
        {"image_path": "c.jpg", "caption": "右边没有", "objects": []},
    ]  # fmt: skip
    lake = Lake(folder / "project" / "lake", store=folder / ".lake")
    take_in(lake, write_set(folder / "set", lines, pictures), folder / "out")
    publish_all(lake, folder / "out")
    return lake


def read_samples(folder: Path) -> list[dict[str, Any]]:
    with (folder / "samples.jsonl").open(encoding="utf-8", newline="\n") as file:
        return [json.loads(line) for line in file]


def check_pictures(folder: Path, count: int) -> None:
    files = [path for path in (folder / "images").rglob("*") if path.is_file()]
    assert len(files) == count
    for path in files:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        assert (path.stem, path.parent.name) == (digest, digest[:2])


def test_the_jsonl_form_holds_every_row_and_each_picture_once(filled, tmp_path):
    done = export_samples(filled, tmp_path / "out", Form.jsonl)
    assert (done.rows, done.pictures) == (4, 3)
    check_pictures(tmp_path / "out", 3)
    rows = samples_of(filled)
    found = read_samples(tmp_path / "out")
    assert [each["row_id"] for each in found] == sorted(rows)
    for each in found:
        assert [*each] == ["image_path", "caption", "objects", "url", "row_id", "spatial_type"]
        row = rows[each["row_id"]]
        assert (each["caption"], each["url"]) == (row["caption"], row["url"])
        assert (tmp_path / "out" / each["image_path"]).stem == row["sha256"]
    by_caption = {each["caption"]: each for each in found if "invalid" in str(each["url"])}
    assert by_caption[CAPTION]["objects"] == boxed(小猫=LEFT, 箱子=RIGHT), "to the digit"


def test_an_export_imported_elsewhere_is_the_same_lake(filled, lake, tmp_path):
    export_samples(filled, tmp_path / "set", Form.jsonl)
    done = take_in(lake, tmp_path / "set", tmp_path / "out")
    assert (done.samples, done.with_objects) == (4, 4)
    publish_all(lake, tmp_path / "out")
    assert samples_of(lake) == samples_of(filled)
    for table in ("candidates", "downloads", "images", "boxes", "splits"):
        assert lake[table].manifest == filled[table].manifest, table


def test_the_coco_form_has_an_image_per_picture_and_a_box_once(filled, tmp_path):
    done = export_samples(filled, tmp_path / "out", Form.coco)
    assert (done.rows, done.pictures) == (4, 3)
    check_pictures(tmp_path / "out", 3)
    coco = json.loads((tmp_path / "out" / "annotations.json").read_text(encoding="utf-8"))
    assert coco["categories"] == [{"id": 1, "name": "小猫"}, {"id": 2, "name": "箱子"}]
    images = {image["id"]: image for image in coco["images"]}
    assert len(images) == len({image["file_name"] for image in images.values()}) == 3
    assert len({each["id"] for each in coco["annotations"]}) == len(coco["annotations"]) == 5
    rows = samples_of(filled)
    for image in images.values():
        sharing = sorted(r for r, row in rows.items() if row["sha256"] in image["file_name"])
        assert [each["row_id"] for each in image["captions"]] == sharing
        assert (image["row_id"], image["caption"]) == (sharing[0], rows[sharing[0]]["caption"])
        assert (tmp_path / "out" / image["file_name"]).is_file()
        row = rows[sharing[0]]
        assert (image["width"], image["height"]) == (row["width"], row["height"])
    on_b = [each for each in coco["annotations"] if images[each["image_id"]]["width"] == 200]
    assert [each["bbox"] for each in on_b] == [
        pytest.approx([120, 37.5, 60, 75]), pytest.approx([20, 37.5, 60, 75]),
    ]  # fmt: skip
    assert [each["area"] for each in on_b] == pytest.approx([4500, 4500])
    assert {each["iscrowd"] for each in on_b} == {0}
    assert {each["row_id"] for each in on_b} == {row_id("https://b.test/1", CAPTION)}


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("spatial_agree", 2),
        ("not spatial_agree -- the mirrored one", 1),
        ("split in ('train', 'val', 'test') and spatial_type = 'strong' and width < 200", 3),
        ("len(objects) > 0 and url like 'https://b.test/%'", 1),
    ],
)
def test_conditions_see_boxes_captions_images_and_splits(filled, tmp_path, where, rows):
    done = export_samples(filled, tmp_path / "out", Form.jsonl, where=where)
    assert done.rows == len(read_samples(tmp_path / "out")) == rows


def test_what_cannot_be_exported_is_said_and_leaves_nothing(filled, tmp_path):
    out = tmp_path / "out"
    for where, kind, words in [
        ("nonsense", QueryError, "--where nonsense does not run"),
        ("cast(caption as int) = 5", QueryError, "does not run"),
        (" ", QueryError, "is no condition"),
        ("true; select 1", QueryError, "is no condition"),
        ("false", InputError, 'no row of lake/boxes satisfies --where "false"'),
    ]:
        with pytest.raises(kind, match=words):
            export_samples(filled, out, Form.jsonl, where=where)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is no folder"):
        export_samples(filled, tmp_path / "file", Form.jsonl, force=True)
    with pytest.raises(InputError, match="cannot be written"):
        export_samples(filled, tmp_path / "file" / "below", Form.jsonl)
    (tmp_path / "file").unlink()
    assert list(tmp_path.iterdir()) == []


def test_a_picture_of_ones_own_is_never_removed(filled, tmp_path):
    export_samples(filled, tmp_path / "set", Form.jsonl)
    export_samples(filled, tmp_path / "set", Form.jsonl, force=True)
    own = tmp_path / "set" / "images" / "holiday.jpg"
    own.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"holds images, which this command did not write"):
        export_samples(filled, tmp_path / "set", Form.jsonl, force=True)
    assert own.read_bytes() == b"mine"


def test_a_folder_is_replaced_only_if_an_export_wrote_it(filled, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    export_samples(filled, out, Form.jsonl)
    with pytest.raises(InputError, match="exists and is not empty; remove it, or replace it"):
        export_samples(filled, out, Form.coco)
    export_samples(filled, out, Form.coco, force=True)
    assert sorted(os.listdir(out)) == ["annotations.json", "images"]
    (out / "mine.txt").write_text("kept")
    with pytest.raises(InputError, match=r"holds mine.txt, .* and is not replaced"):
        export_samples(filled, out, Form.jsonl, force=True)
    assert sorted(os.listdir(out)) == ["annotations.json", "images", "mine.txt"]
    assert os.listdir(tmp_path) == ["out"]


def test_a_picture_that_is_lost_is_said(lake, tmp_path):
    take_in(lake, many(tmp_path / "set", 3), tmp_path / "out")
    publish_all(lake, tmp_path / "out")
    stored = lake.stored("images", IMAGES.schema).open()
    lake.publish_blobs(IMAGES, stored, stored.to_table(columns=["sha256"]).slice(0, 1))
    with pytest.raises(LakeError, match=r'lacks the pictures of 2 of 3 rows .* run "dvc checkout"'):
        export_samples(lake, tmp_path / "exported", Form.jsonl)


def test_killed_it_leaves_no_folder_under_its_name(tmp_path):
    project = bare_project(tmp_path / "project")
    source, out = many(tmp_path / "set", 1200), tmp_path / "out"
    take_in(project.lake(), source, tmp_path / "imported")
    publish_all(project.lake(), tmp_path / "imported")
    command = ("spatialgen", "export", "boxes", str(out), "--form", "jsonl")
    process = project.start(*command)
    deadline = time.monotonic() + 60
    while not [*tmp_path.glob(".out.*.tmp/images/*/*")]:
        assert process.poll() is None, "it is still at work"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert not out.exists()
    assert "1200 rows and 1200 pictures" in project.run(*command).stderr
    check_pictures(out, 1200)
    assert len(read_samples(out)) == 1200
