import gzip
from pathlib import Path

import pytest

from spatialgen import wukong
from spatialgen.errors import InputError
from spatialgen.records import MAX_RECORD_BYTES, Reason
from spatialgen.wukong import find_shards, read_records


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def read(source: Path, pattern: str = "*.csv*") -> list[tuple[int, int, list[str]]]:
    """(line, problem, [url, caption]) of every record at `source`."""
    return [
        (row["line"], row["problem"], row["slices"][1::2])
        for batch in read_records(find_shards(source, pattern))
        for row in batch.to_pylist()
    ]


def test_byte_order_mark_crlf_blank_lines_and_a_missing_last_line_end(tmp_path: Path) -> None:
    data = "\ufeffurl,caption\r\nhttp://a/1,左边，是猫！\r\n\r\nhttp://a/%3A2,右".encode()
    assert read(write(tmp_path, "a.csv", data)) == [
        (2, 0, ["http://a/1", "左边，是猫！"]),
        (4, 0, ["http://a/%3A2", "右"]),
    ]


def test_compressed_shards_are_unpacked(tmp_path: Path) -> None:
    write(tmp_path, "a.csv.gz", gzip.compress("url,caption\nu,左\n".encode()))
    assert read(tmp_path) == [(2, 0, ["u", "左"])]


def test_a_damaged_archive_is_named(tmp_path: Path) -> None:
    packed = gzip.compress(b"url,caption\n" + bytes(range(65, 91)) * 50_000)
    write(tmp_path, "a.csv.gz", packed[: len(packed) // 2])
    with pytest.raises(InputError, match=r"a\.csv\.gz cannot be read"):
        read(tmp_path)


@pytest.mark.parametrize("block_bytes", [7, 64, 1 << 20])
def test_blocks_do_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block_bytes: int
) -> None:
    monkeypatch.setattr(wukong, "BLOCK_BYTES", block_bytes)
    rows = [f'"http://a/{n},x","第 {n} 行\n左"' for n in range(50)]
    source = write(tmp_path, "a.csv", "\n".join(["url,caption", *rows]).encode())
    found = read(source)
    assert [line for line, _, _ in found] == list(range(2, 102, 2))
    assert [caption for _, _, (_, caption) in found] == [f"第 {n} 行\n左" for n in range(50)]


def test_only_the_record_that_is_no_utf8_is_damaged(tmp_path: Path) -> None:
    data = "url,caption\nu1,左\nu2,".encode() + b"\xff\xe5" + "\nu3,右\ufffd\n".encode()
    assert read(write(tmp_path, "a.csv", data)) == [
        (2, 0, ["u1", "左"]),
        (3, Reason.invalid_utf8, ["u2,??", ""]),  # a problem's url is the record as it stands
        (4, 0, ["u3", "右\ufffd"]),
    ]


@pytest.mark.parametrize("length", [MAX_RECORD_BYTES, 8 * MAX_RECORD_BYTES])
def test_a_line_without_end_is_one_reject(tmp_path: Path, length: int) -> None:
    data = b"url,caption\nu," + b"x" * length + "\nu3,右\n".encode()
    assert [(line, problem) for line, problem, _ in read(write(tmp_path, "a.csv", data))] == [
        (2, Reason.too_long),
        (3, 0),
    ]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty (0 bytes)"),
        (b"http://a/1,x\n", "begins with 'http://a/1,x' instead of the header"),
        (b"url,caption,width\n", "begins with 'url,caption,width'"),
        ("url,caption\n".encode("utf-16"), "instead of the header"),
        (b'url,"caption\nu,x\n', "instead of the header"),
        (b"url,caption\ru,x\r", "instead of the header"),
    ],
)
def test_every_header_is_checked_before_anything_is_read(
    tmp_path: Path, data: bytes, words: str
) -> None:
    write(tmp_path, "0.csv", b"url,caption\n")
    write(tmp_path, "1.csv", data)
    with pytest.raises(InputError) as error:
        find_shards(tmp_path, "*.csv")
    assert words in str(error.value)
    assert "1.csv" in str(error.value)


def test_missing_sources_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere does not exist; give"):
        find_shards(tmp_path / "nowhere", "*.csv")
    with pytest.raises(InputError, match=r"fits 'wukong\*.csv'; set candidates.pattern"):
        find_shards(tmp_path, "wukong*.csv")


def test_quoted_headers_and_nested_folders_are_fine(tmp_path: Path) -> None:
    write(tmp_path, "b/1.csv", '"url","caption"\nu,左\n'.encode())
    assert [shard.name for shard in find_shards(tmp_path, "*.csv")] == ["b/1.csv"]


def test_linked_folders_count_once_and_any_pattern_is_only_a_name(tmp_path: Path) -> None:
    write(tmp_path, "disk/1.csv", b"url,caption\n")
    write(tmp_path, "data/2.csv", b"url,caption\n")
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "disk")
    (tmp_path / "data" / "loop").symlink_to(tmp_path / "data")
    assert [shard.name for shard in find_shards(tmp_path / "data", "*.csv")] == [
        "2.csv",
        "linked/1.csv",
    ]
    for pattern in ("**.tsv", "/abs/*.csv", "["):
        with pytest.raises(InputError, match=r"set candidates\.pattern"):
            find_shards(tmp_path / "data", pattern)


def test_text_in_another_encoding_is_rejected_and_stays_readable(tmp_path: Path) -> None:
    lines = "".join(f"http://a/{n},左边是猫\n" for n in range(1000))
    data = b"url,caption\n" + lines.encode("gb18030")
    found = read(write(tmp_path, "a.csv", data))
    assert {problem for _, problem, _ in found} == {Reason.invalid_utf8}
    assert found[7][2][0].startswith("http://a/7,")


@pytest.mark.parametrize("url", ["u", "ux", "uxx"])
def test_a_giant_chinese_line_is_too_long_wherever_it_is_cut(tmp_path: Path, url: str) -> None:
    data = f"url,caption\n{url},{'左' * 700_000}\nu3,右\n".encode()
    assert [(line, problem) for line, problem, _ in read(write(tmp_path, "a.csv", data))] == [
        (2, Reason.too_long),
        (3, 0),
    ]
