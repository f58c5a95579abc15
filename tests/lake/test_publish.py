import hashlib
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import lance
import lancedb
import pyarrow as pa
import pytest

from spatialgen.errors import LakeError
from spatialgen.lake.lake import Lake
from spatialgen.lake.links import files_under
from spatialgen.lake.publish import adopt_fragments
from spatialgen.lake.schemas import CANDIDATES, IMAGES
from tests.conftest import picture_table


def batches(rows: list[tuple[int, str]]) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(rows), 3):
        ids, captions = zip(*rows[start : start + 3], strict=True)
        yield pa.record_batch(
            [pa.array(ids, pa.int64()), pa.array(captions), pa.array(captions)],
            names=["row_id", "url", "caption"],
        )


def inodes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_ino for path in files_under(folder)}


def test_equal_content_is_written_once_and_shared(lake: Lake) -> None:
    first = lake.publish(CANDIDATES, batches([(1, "左"), (2, "右")]))
    files = inodes(lake["candidates"].path)
    lake.publish(CANDIDATES, batches([(1, "左"), (2, "右"), (3, "上")]))
    assert inodes(lake["candidates"].path) != files
    assert lake.publish(CANDIDATES, batches([(1, "左"), (2, "右")])) == first
    assert inodes(lake["candidates"].path) == files
    assert len(list((lake.published / "candidates").iterdir())) == 2


def test_repeated_keys_are_dropped_across_batches(lake: Lake) -> None:
    rows = [(1, "a"), (1, "a"), (1, "a"), (1, "a"), (2, "b"), (3, "c"), (3, "c")]
    assert lake.publish(CANDIDATES, batches(rows)).rows == 3
    assert lake["candidates"].dataset().to_table()["row_id"].to_pylist() == [1, 2, 3]


def test_published_tables_open_in_lancedb(lake: Lake) -> None:
    lake.publish(CANDIDATES, batches([(1, "左边"), (2, "右边")]))
    table = lancedb.connect(str(lake.root)).open_table("candidates")
    assert table.count_rows() == 2
    assert table.search().where("row_id = 2").to_list()[0]["caption"] == "右边"


def test_columns_carry_their_comments(lake: Lake) -> None:
    lake.publish(CANDIDATES, batches([(1, "左边")]))
    metadata = lake["candidates"].dataset().schema.field("caption").metadata
    assert b"Chinese caption" in metadata[b"comment"]


def test_a_damaged_version_is_written_again(lake: Lake) -> None:
    manifest = lake.publish(CANDIDATES, batches([(1, "左边")]))
    for path in (lake.published / "candidates" / manifest.digest / "data").iterdir():
        path.unlink()
    lake.publish(CANDIDATES, batches([(1, "左边")]))
    assert lake["candidates"].dataset().to_table().num_rows == 1


def test_a_version_damaged_on_disk_is_replaced_and_never_passed_on(lake: Lake) -> None:
    rows = [(n, f"左边的第{n * 7919}个") for n in range(3000)]
    manifest = lake.publish(CANDIDATES, batches(rows))
    (data,) = (lake.published / "candidates" / manifest.digest / "data").iterdir()
    damaged = bytearray(data.read_bytes())
    middle = len(damaged) // 4
    damaged[middle : 2 * middle] = bytes(middle)
    data.write_bytes(damaged)  # of the same size, as a failing disk leaves it
    lake.publish(CANDIDATES, batches(rows))
    assert lake["candidates"].dataset().to_table()["caption"].to_pylist() == [c for _, c in rows]


def test_copies_where_links_are_impossible(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    with caplog.at_level(logging.WARNING):
        lake.publish(CANDIDATES, batches([(1, "左边")]))
    assert lake["candidates"].dataset().count_rows() == 1
    assert "no hard link" in caplog.text


def test_table_and_manifest_apart_is_an_error_with_the_remedy(lake: Lake) -> None:
    with pytest.raises(LakeError, match='run "dvc repro candidates"'):
        lake["candidates"].count_rows()
    lake.publish(CANDIDATES, batches([(1, "左边")]))
    manifest = lake["candidates"].manifest_path.read_text()
    lake.publish(CANDIDATES, batches([(1, "左边"), (2, "右边")]))
    lake["candidates"].manifest_path.write_text(manifest)
    with pytest.raises(LakeError, match=r'holds 2 rows .* says 1 of .* run "dvc checkout"'):
        lake["candidates"].dataset()
    assert repr(lake["rejects"]) == "<Table rejects: does not exist yet>"
    assert repr(lake["candidates"]) == "<Table candidates: 1 rows>"


PUBLISH = """
import sys, pyarrow as pa
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import CANDIDATES
lake = Lake(sys.argv[1] + "/lake", store=sys.argv[1] + "/.lake")
def rows():
    for n in range(0, 200_000, 1000):
        ids = list(range(n, n + 1000))
        text = [f"左边的第{i}个" for i in ids]
        yield pa.record_batch([ids, text, text], names=["row_id", "url", "caption"])
print("begin", flush=True)
lake.publish(CANDIDATES, rows())
"""


def test_kill_9_during_publish_leaves_old_or_new_and_never_a_mixture(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PUBLISH]
    started = time.perf_counter()
    subprocess.run([*command, str(tmp_path / "clean")], check=True, capture_output=True)
    duration = time.perf_counter() - started
    clean = (tmp_path / "clean" / "lake" / "candidates.json").read_text()
    rng = random.Random(1)
    killed = 0
    for _ in range(8):
        process = subprocess.Popen([*command, str(tmp_path)], stdout=subprocess.PIPE)
        assert process.stdout
        process.stdout.readline()
        time.sleep(rng.uniform(0, duration * 0.7))
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
        process.stdout.close()
        lake = Lake(tmp_path / "lake", store=tmp_path / ".lake")
        if lake["candidates"].manifest_path.exists():
            assert lake["candidates"].dataset().count_rows() == 200_000
    assert killed
    subprocess.run([*command, str(tmp_path)], check=True, capture_output=True)
    assert (tmp_path / "lake" / "candidates.json").read_text() == clean
    assert lake["candidates"].dataset().to_table().num_rows == 200_000


# Blobs


def store_pictures(lake: Lake, pictures: list[bytes]) -> lance.LanceDataset:
    """Append pictures to the store's images as one fragment."""
    images = lake.stored("images", IMAGES.schema)
    images.append(picture_table(pictures))
    dataset = images.open()
    assert dataset
    return dataset


def keys(pictures: list[bytes]) -> pa.Table:
    return pa.table({"sha256": [hashlib.sha256(picture).hexdigest() for picture in pictures]})


def published_pictures(lake: Lake) -> dict[str, bytes]:
    """What a reader finds: every blob under its key, checked against it."""
    dataset = lake["images"].dataset()
    names = dataset.to_table(columns=["sha256"])["sha256"].to_pylist()
    rows = list(range(len(names)))
    blobs = [blob for _, blob in dataset.read_blobs("image", indices=rows, preserve_order=True)]
    assert [hashlib.sha256(blob).hexdigest() for blob in blobs] == names
    return dict(zip(names, blobs, strict=True))


def test_blobs_are_published_by_fragment_and_never_copied(lake: Lake, photos: list[bytes]) -> None:
    for start in range(0, 90, 30):
        stored = store_pictures(lake, photos[start : start + 30])
    manifest = lake.publish_blobs(IMAGES, stored, keys(photos[:90]))
    assert manifest.rows == 90
    assert manifest.counts == {"format": {"jpeg": 90}}
    assert len(published_pictures(lake)) == 90
    in_store = set(inodes(lake.stored("images", IMAGES.schema).path).values())
    for path in files_under(lake["images"].path / "data"):
        assert path.stat().st_ino in in_store
    before = inodes(lake["images"].path / "data")
    stored = store_pictures(lake, photos[90:92])
    lake.publish_blobs(IMAGES, stored, keys(photos[:92]))
    after = inodes(lake["images"].path / "data")
    assert before.items() <= after.items()
    new = [lake["images"].path / "data" / name for name in after.keys() - before.keys()]
    assert sum(p.stat().st_size for p in new) < 1.1 * sum(map(len, photos[90:92])) + 20_000


def test_only_wanted_fragments_and_rows_are_published(lake: Lake, photos: list[bytes]) -> None:
    for start in range(0, 90, 30):
        stored = store_pictures(lake, photos[start : start + 30])
    wanted = photos[5:20] + photos[60:61]
    lake.publish_blobs(IMAGES, stored, keys(wanted))
    assert sorted(published_pictures(lake).values()) == sorted(wanted)
    data_files = list((lake["images"].path / "data").glob("*.lance"))
    assert len(data_files) == 2  # the middle fragment holds nothing wanted


def test_a_picture_stored_twice_by_a_race_is_published_once(
    lake: Lake, photos: list[bytes]
) -> None:
    store_pictures(lake, photos[:10])
    stored = store_pictures(lake, photos[5:15])
    assert lake.publish_blobs(IMAGES, stored, keys(photos[:15])).rows == 15
    assert len(published_pictures(lake)) == 15


def test_rows_deleted_from_the_store_stay_deleted(lake: Lake, photos: list[bytes]) -> None:
    store_pictures(lake, photos[:5])
    stored = store_pictures(lake, photos[5:10])
    stored.delete(f"sha256 = '{hashlib.sha256(photos[7]).hexdigest()}'")
    stored = lance.dataset(stored.uri)
    lake.publish_blobs(IMAGES, stored, keys(photos[:10]))
    assert sorted(published_pictures(lake).values()) == sorted(photos[:7] + photos[8:10])


def test_nothing_wanted_is_an_empty_table(lake: Lake, photos: list[bytes]) -> None:
    stored = store_pictures(lake, photos[:2])
    assert lake.publish_blobs(IMAGES, stored, keys([])).rows == 0
    assert published_pictures(lake) == {}


def test_a_clone_takes_pulled_pictures_into_its_store(
    lake: Lake, tmp_path: Path, photos: list[bytes]
) -> None:
    store_pictures(lake, photos[:10])
    stored = store_pictures(lake, photos[10:20])
    lake.publish_blobs(IMAGES, stored, keys(photos[3:20]))
    clone = Lake(tmp_path / "clone" / "lake", store=tmp_path / "clone" / ".lake")
    pulled = lake["images"].dataset()
    store = clone.stored("images", IMAGES.schema)
    assert adopt_fragments(IMAGES, pulled, store) == 20  # whole fragments come along
    assert adopt_fragments(IMAGES, pulled, store) == 0
    more = store_pictures(clone, photos[20:25])
    assert clone.publish_blobs(IMAGES, more, keys(photos[:25])).rows == 25
    assert sorted(published_pictures(clone).values()) == sorted(photos[:25])
    assert published_pictures(lake).keys() < published_pictures(clone).keys()


def test_published_files_survive_what_the_store_does(lake: Lake, photos: list[bytes]) -> None:
    stored = store_pictures(lake, photos[:10])
    lake.publish_blobs(IMAGES, stored, keys(photos[:10]))
    contents = {path: path.read_bytes() for path in files_under(lake["images"].path)}
    for path in contents:
        os.chmod(path, 0o444)  # as DVC leaves them
    stored = store_pictures(lake, photos[10:20])
    stored.delete("n_bytes > 0")
    stored = lance.dataset(stored.uri)
    stored.optimize.compact_files()
    assert {path: path.read_bytes() for path in files_under(lake["images"].path)} == contents
