import csv
import io
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spatialgen import records
from spatialgen.records import NO_RECORD, Reason, cut

# A plain field cannot end with a carriage return: it would belong to the line end.
field = st.text(st.sampled_from('a左，",\n\r '), max_size=8).map(lambda text: text.rstrip("\r"))
rows_of_two = st.lists(st.tuples(field, field), max_size=12)


def cut_all(data: bytes, block_bytes: int) -> list[tuple[int, int, list[str]]]:
    """(line, problem, unquoted fields) of every record, read in blocks of `block_bytes`."""
    found = []
    rest, line = b"", 0
    for start in range(0, len(data), block_bytes):
        rest += data[start : start + block_bytes]
        result = cut(rest, final=start + block_bytes >= len(data))
        for number in range(len(result.line)):
            borders = result.offsets[4 * number : 4 * number + 5]
            _, url, _, caption = [
                rest[a:b].decode() for a, b in itertools.pairwise(map(int, borders))
            ]
            fields = [
                field.replace('""', '"') if doubled else field
                for field, doubled in zip((url, caption), result.doubled[number], strict=True)
            ]
            found.append((line + int(result.line[number]), int(result.problem[number]), fields))
        line += result.lines
        rest = rest[result.consumed :]
    assert rest == b""
    return found


@given(
    rows=rows_of_two,
    line_end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    block_bytes=st.integers(1, 64),
)
@example(rows=[("a\n\nb", '"'), ("", "")], line_end="\r\n", quoting=csv.QUOTE_ALL, block_bytes=1)
def test_reads_what_the_csv_module_writes(
    rows: list[tuple[str, str]], line_end: str, quoting: int, block_bytes: int
) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator=line_end, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    found = cut_all(out.getvalue().encode(), block_bytes)
    for (_, problem, fields), (url, caption) in zip(found, rows, strict=True):
        if not url.strip():
            assert problem == Reason.empty_url
        elif not caption.strip():
            assert problem == Reason.empty_caption
        else:
            assert (problem, fields) == (0, [url, caption])


@given(line=st.text(st.sampled_from('a左",'), max_size=12))
@example(line='"a""b",c""d')
@example(line='a""b,"c"')
def test_a_line_that_is_a_record_is_what_the_csv_module_reads(line: str) -> None:
    ((_, problem, fields),) = cut_all(f"{line}\n".encode(), 1 << 20)
    try:
        expected = next(csv.reader([line], strict=True), [])
    except csv.Error:  # an open quote, or text behind a closing one
        assert problem != 0
        return
    accepted = len(expected) == 2 and all(text.strip() for text in expected)
    assert (problem == 0) == accepted
    if accepted:
        assert fields == expected


@given(data=st.text(st.sampled_from('a左",\n'), max_size=60), block_bytes=st.integers(1, 64))
def test_any_bytes_give_the_same_records_in_any_blocks(data: str, block_bytes: int) -> None:
    raw = (data + "\n").encode()
    assert cut_all(raw, block_bytes) == cut_all(raw, len(raw))


@given(rows=st.lists(st.tuples(st.just("u"), st.text("左右", min_size=1)), min_size=1, max_size=9))
def test_an_open_quote_costs_its_own_line_only(rows: list[tuple[str, str]]) -> None:
    lines = [f"{url},{caption}" for url, caption in rows]
    for position in range(len(lines) + 1):
        damaged = [*lines[:position], 'u,"左', *lines[position:]]
        found = cut_all("\n".join([*damaged, ""]).encode(), 1 << 20)
        assert [fields for _, problem, fields in found if not problem] == [list(r) for r in rows]
        assert [(line, problem) for line, problem, _ in found if problem] == [
            (position, Reason.unterminated_quote)
        ]


def test_an_open_quote_swallows_no_row_even_where_a_later_line_would_close_it() -> None:
    rows = [f"http://a/{n},左{n}" for n in range(20)]
    lines = ['http://a/x,"左边', *rows, 'http://a/y,左15.6"', "http://a/z,左"]
    found = cut_all("\n".join([*lines, ""]).encode(), 1 << 20)
    assert [problem for _, problem, _ in found] == [Reason.unterminated_quote, *[0] * 22]
    assert found[-2][2] == ["http://a/y", '左15.6"']


def test_many_odd_quotes_take_linear_time() -> None:
    data = b'a"\n' * 200_000
    assert len(cut(data, final=True).line) == 200_000  # quadratic work would exceed the time limit


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("a,b", 0),
        ('a,5" pipe', 0),
        ('a"b,c', 0),
        ('"a,b","c ""d"" e"', 0),
        ("a", Reason.missing_column),
        ('"a,b"', Reason.missing_column),
        ("a,b,c", Reason.extra_column),
        ('"a",b,"c"', Reason.extra_column),
        ('a"b,c"d,e', Reason.extra_column),
        ('"a" b,c', Reason.malformed_quote),
        ('a,"b"c', Reason.malformed_quote),
        ('a,"b"c"d"', Reason.malformed_quote),
        ("  ,b", Reason.empty_url),
        ('a,"\u3000"', Reason.empty_caption),
        ('a,""', Reason.empty_caption),
        ("a,\u300a左\u300b", 0),
        ('a,"b', Reason.unterminated_quote),
        ("", NO_RECORD),
        ("\r", NO_RECORD),
    ],
)
def test_problems_that_show_in_the_bytes(line: str, problem: int) -> None:
    assert [found for _, found, _ in cut_all(f"{line}\n".encode(), 1 << 20)] == [problem]


def test_a_quoted_field_may_span_some_lines_but_not_many() -> None:
    def problems(lines: int) -> list[int]:
        data = ('u,"' + "左\n" * lines + '右"\nu,后\n').encode()
        return [problem for _, problem, _ in cut_all(data, 1 << 20)]

    assert problems(records.MAX_RECORD_LINES - 1) == [0, 0]
    assert problems(records.MAX_RECORD_LINES)[0] == Reason.unterminated_quote
    assert problems(records.MAX_RECORD_LINES)[-1] == 0
