"""The sample web on disk: shards, pictures and truth that agree."""

import csv
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from spatialgen.lake.ids import row_id
from spatialgen.params import load_params
from spatialgen.sample.shards import draw_rows, url_of, write_sample
from spatialgen.sample.urls import PICTURES, path_of
from tests.conftest import REPOSITORY


def digests(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.md5(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A sample of 1,200 rows and its counts."""
    shipped = load_params(REPOSITORY / "params.yaml").sample
    params = shipped.model_copy(update={"rows": 1200, "shards": 3, "spatial_share": 0.3})
    folder = tmp_path_factory.mktemp("sample") / "sample"
    return params, folder, write_sample(params, folder, workers=2)


def test_equal_params_give_equal_files_with_any_number_of_workers(written, tmp_path):
    params, folder, counts = written
    assert write_sample(params, tmp_path / "again", workers=1) == counts
    assert digests(tmp_path / "again") == digests(folder)


def test_shards_hold_all_rows_and_truth_all_distinct_ones(written):
    _, folder, counts = written
    lines = [line for path in sorted((folder / "csv").glob("*.csv"))
             for line in path.read_bytes().split(b"\n")[1:-1]]  # fmt: skip
    assert len(lines) == counts["lines"] == 1200
    truth = duckdb.sql(f"from '{folder}/truth.parquet' select row_id, spatial_type").fetchall()
    assert len(truth) == 1200 - counts["damaged"] - counts["duplicates"]
    rows = set()
    for line in lines:
        fields = next(csv.reader([line.decode("utf-8", "replace")]))
        if len(fields) == 2:
            rows.add(row_id(fields[0], fields[1]))
    assert {key for key, _ in truth} <= rows
    types = [kind for _, kind in truth]
    assert {kind: types.count(kind) for kind in ("strong", "weak", "none")} == {
        kind: counts[kind] for kind in ("strong", "weak", "none")
    }


def test_every_url_has_a_picture(written):
    _, folder, _ = written
    pictures = pa.ipc.open_file(str(folder / PICTURES)).read_all()
    paths = set(pictures["path"].to_pylist())
    assert len(paths) == pictures.num_rows
    assert all(data.as_py()[:2] == b"\xff\xd8" for data in pictures["jpeg"])
    sample = (folder / "csv" / "wukong_100m_0.csv").read_text("utf-8", "replace").splitlines()
    urls = [fields[0] for fields in csv.reader(sample[1:50]) if len(fields) == 2 and all(fields)]
    assert urls
    assert {path_of(url) for url in urls if url.startswith("http")} <= paths


def test_a_url_follows_from_what_it_shows():
    url = url_of(3, "一只猫", b"jpeg")
    assert url == url_of(3, "一只猫", b"jpeg")
    assert len({url, url_of(4, "一只猫", b"jpeg"), url_of(3, "一只狗", b"jpeg"),
                url_of(3, "一只猫", b"other")}) == 4  # fmt: skip


def test_failure_of_the_writer_ends_the_drawing(tmp_path):
    params = load_params(REPOSITORY / "params.yaml").sample
    start = time.monotonic()
    with draw_rows(params, workers=1) as rows:
        next(rows)
    assert time.monotonic() - start < 30, "60,000 rows take minutes"


def test_truth_is_a_table_to_join(written):
    _, folder, _ = written
    left = duckdb.sql(
        f"""with named as (
            select row_id, r.relation, r.subject, r.objects[1] as object, objects
            from '{folder}/truth.parquet', unnest(relations) as t(r) where r.relation = 'left')
        select list_filter(objects, lambda o: o.name = subject)[1].bbox[1] as subject_left,
               list_filter(objects, lambda o: o.name = object)[1].bbox[1] as object_left
        from named"""
    ).fetchall()
    assert len(left) > 10
    assert all(a < b for a, b in left)


def test_workers_end_with_a_killed_writer(tmp_path):
    code = """if __name__ == "__main__":
    from pathlib import Path
    from spatialgen.params import SampleParams
    from spatialgen.sample.shards import write_sample
    shares = {"spatial_share": 0.1, "core_share": 0.0, "damaged_share": 0}
    params = SampleParams(seed=1, rows=200_000, shards=1, **shares)
    write_sample(params, Path("sample"), workers=2)
"""
    (tmp_path / "write.py").write_text(code)
    writer = subprocess.Popen([sys.executable, "write.py"], cwd=tmp_path, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not list(tmp_path.glob("sample.part/csv/*")) or len(of_session(writer.pid)) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
    deadline = time.monotonic() + 20
    while left := of_session(writer.pid):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def of_session(session: int) -> list[int]:
    """Processes of a session that still run."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, its_session = path.read_text().rsplit(")", 1)[1].split()[:4]
        except OSError:
            continue
        if int(its_session) == session and state != "Z":
            found.append(int(path.parent.name))
    return found
