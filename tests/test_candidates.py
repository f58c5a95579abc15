import csv
import gzip
import hashlib
import random
from pathlib import Path

import pytest

from spatialgen.candidates import Counts, prefilter
from spatialgen.errors import InputError
from spatialgen.lake.ids import row_id
from spatialgen.lake.lake import Lake
from spatialgen.params import CandidatesParams
from spatialgen.sample.shards import as_csv, make_damaged
from spatialgen.sample.urls import make_url
from tests.conftest import compute_params

KEYWORDS = ["左", "右边", "(上)", "对面"]
COMPUTE = compute_params()


def scan(lake: Lake, source: Path, keywords: list[str] | None = None) -> Counts:
    params = CandidatesParams(csv=str(source), pattern="*.csv", keywords=keywords or KEYWORDS)
    return prefilter(lake, params, COMPUTE, quiet=True)


def rows_of(lake: Lake, table: str) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = lake[table].dataset().to_table().to_pylist()
    return rows


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "csv").mkdir()
    return tmp_path / "csv"


def test_keeps_captions_with_a_keyword_once_in_row_id_order(lake: Lake, source: Path) -> None:
    rows = [
        ("http://a/1?x=1,2", "左边是猫"),
        ("http://a/左", "没有"),  # only a caption counts, not a url
        ("http://a/2", '他说"右边"，对吗'),
        ("http://a/2", '他说"右边"，对吗'),  # exact duplicate
        ("http://a/3", '他说"右边"，对吗'),
        ("http://a/4", "右"),  # half of a keyword
        ("http://a/5", "在(上)面"),  # keywords are words, not patterns
        ("http://a/6", "在上面"),
        ("http://a%3A7", "多行\n对面"),
    ]
    for shard in range(2):
        with (source / f"{shard}.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("url", "caption"), *rows[shard::2]])
    counts = scan(lake, source)
    kept = {(url, caption) for url, caption in rows if any(word in caption for word in KEYWORDS)}
    found = rows_of(lake, "candidates")
    assert {(row["url"], row["caption"]) for row in found} == kept
    assert [row["row_id"] for row in found] == sorted(row_id(*row) for row in kept)
    assert counts == Counts(records=9, rejected=0, unmatched=3, duplicates=1, candidates=5)


def test_every_bad_line_is_a_reject_with_file_line_and_reason(lake: Lake, source: Path) -> None:
    lines = [
        "url,caption",
        "http://a/1,左",
        "http://a/2",
        "http://a/3,左,右",
        'http://a/4,"左',
        'http://a/5,"左"边',
        ",左",
        "   ,左",
        "http://a/6,",
        'http://a/7,"\u3000"',
        'http://a/8"x,y"z,左',
        "http://a/9,左",
    ]
    (source / "1.csv").write_text("\n".join(lines), encoding="utf-8")
    counts = scan(lake, source)
    found = [(row["file"], row["line"], row["reason"]) for row in rows_of(lake, "rejects")]
    assert found == [
        ("1.csv", 3, "missing_column"),
        ("1.csv", 4, "extra_column"),
        ("1.csv", 5, "unterminated_quote"),
        ("1.csv", 6, "malformed_quote"),
        ("1.csv", 7, "empty_url"),
        ("1.csv", 8, "empty_url"),
        ("1.csv", 9, "empty_caption"),
        ("1.csv", 10, "empty_caption"),
        ("1.csv", 11, "extra_column"),
    ]
    assert rows_of(lake, "rejects")[3]["raw"] == 'http://a/5,"左"边'
    assert counts == Counts(records=11, rejected=9, unmatched=0, duplicates=0, candidates=2)
    assert lake["rejects"].manifest.counts["reason"]["empty_url"] == 2


def test_agrees_with_a_loop_over_the_csv_module(lake: Lake, source: Path) -> None:
    rng = random.Random(3)
    rows = [(make_url(rng), rng.choice(["左,右", '"右边"', "猫", "对面 "])) for _ in range(5000)]
    rows += rows[:50]
    (source / "1.csv").write_bytes(b"url,caption\n" + b"".join(as_csv(*row) for row in rows))
    scan(lake, source)
    with (source / "1.csv").open(newline="", encoding="utf-8") as file:
        expected = {
            row_id(row["url"], row["caption"])
            for row in csv.DictReader(file)
            if any(word in row["caption"] for word in KEYWORDS)
        }
    assert {row["row_id"] for row in rows_of(lake, "candidates")} == expected


def test_damage_never_costs_a_neighbour(lake: Lake, source: Path) -> None:
    rng = random.Random(5)
    good = [(make_url(rng), f"左边{n}") for n in range(2000)]
    lines = [as_csv(*row) for row in good]
    for _ in range(200):
        lines.insert(rng.randrange(len(lines)), make_damaged(rng, make_url(rng), "右边"))
    (source / "1.csv").write_bytes(b"url,caption\n" + b"".join(lines))
    counts = scan(lake, source)
    assert counts == Counts(2200, rejected=200, unmatched=0, duplicates=0, candidates=2000)


def test_real_captions_go_through_unharmed(
    lake: Lake, source: Path, real_captions: list[str]
) -> None:
    rng = random.Random(7)
    rows = [(make_url(rng), caption) for caption in real_captions]
    body = b"".join(as_csv(*row) for row in rows).replace(b"\n", b"\r\n")
    (source / "1.csv").write_bytes(b"\xef\xbb\xbfurl,caption\r\n" + body)
    characters = sorted({character for caption in real_captions for character in caption})
    keywords = [character for character in characters if character not in '", ']
    counts = scan(lake, source, keywords)
    assert counts.candidates == len(real_captions) >= 4712
    assert {(r["url"], r["caption"]) for r in rows_of(lake, "candidates")} == set(rows)


def test_rows_do_not_depend_on_threads_memory_or_sharding(tmp_path: Path, source: Path) -> None:
    rng = random.Random(9)
    lines = [as_csv(make_url(rng), rng.choice(["左边", "无", "右边"])) for _ in range(20_000)]
    (source / "1.csv").write_bytes(b"url,caption\n" + b"".join(lines))
    other = tmp_path / "other"
    other.mkdir()
    for shard in range(5):
        part = b"".join(lines[shard::5])
        (other / f"{shard}.csv").write_bytes(b"url,caption\n" + part)
    digests: set[str] = set()
    for folder, compute in [
        (source, COMPUTE),
        (source, compute_params(memory="60MB", threads=1)),
        (other, compute_params(memory="1GB", threads=2)),
    ]:
        lake = Lake(tmp_path / "lakes" / str(len(digests)), store=tmp_path / ".lake")
        params = CandidatesParams(csv=str(folder), pattern="*.csv", keywords=KEYWORDS)
        prefilter(lake, params, compute, quiet=True)
        digests.add(lake["candidates"].manifest.digest)
        files = [path.read_bytes() for path in sorted(lake["candidates"].path.rglob("*.lance"))]
        digests.add(hashlib.md5(b"".join(files)).hexdigest())  # published once, shared by all
    assert len(digests) == 2


def test_no_row_at_all_is_an_empty_table(lake: Lake, source: Path) -> None:
    (source / "1.csv").write_text("url,caption\n")
    assert scan(lake, source) == Counts()
    assert lake["candidates"].dataset().to_table().num_rows == 0


def test_a_damaged_archive_is_named(lake: Lake, source: Path) -> None:
    packed = gzip.compress(b"url,caption\n" + "http://a/1,左\n".encode() * 200_000)
    (source / "0.csv.gz").write_bytes(packed[: len(packed) - 100])
    params = CandidatesParams(csv=str(source), pattern="*.gz", keywords=KEYWORDS)
    with pytest.raises(InputError, match=r"0\.csv\.gz cannot be read to its end"):
        prefilter(lake, params, COMPUTE, quiet=True)


def test_more_rejects_than_memory(lake: Lake, source: Path) -> None:
    lines = b"".join(b"%07d" % n + b"x" * 993 + b"\n" for n in range(150_000))
    (source / "1.csv").write_bytes(b"url,caption\n" + lines)
    params = CandidatesParams(csv=str(source), pattern="*.csv", keywords=KEYWORDS)
    counts = prefilter(lake, params, compute_params(memory="100MB", threads=1), quiet=True)
    assert counts.rejected == 150_000
