"""Cutting blocks of CSV bytes into (url, caption) records, by vector operations.

Quoting follows RFC 4180 as Python's csv module reads it, but for damage: an unbalanced quote costs
its own line and not the lines after it, and a line end is LF or CRLF. Nothing is copied: a record
is described by where its four slices `margin | url | margin | caption` begin in the block; the
margins hold line ends, separators and enclosing quotes. Only quotes doubled inside a field are left
to be undone.

The vector operations decide the plain records. The few that look odd are matched one by one.
"""

import re
from collections import deque
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

import numpy as np
import numpy.typing as npt

MAX_RECORD_BYTES = 1 << 16  # far above any caption: a longer record is damage
MAX_RECORD_LINES = 32  # that one quoted field may span
NEWLINE, QUOTE, COMMA, RETURN, SPACE = b'\n",\r '
IDEOGRAPHIC_SPACE = "\u3000".encode()
SLICES = 4

# A field is quoted, or plain with quotes only further in; the groups are its text.
FIELD = rb'(?:"((?:[^"]|"")*)"|([^",\n][^,\n]*|))'
RECORD = re.compile(FIELD + rb"," + FIELD + rb"\r?\n")
ROW_START = re.compile(rb'"?[A-Za-z][A-Za-z0-9+.-]*://')

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]


class Reason(IntEnum):
    """Why a record is no row."""

    missing_column = 1
    extra_column = 2
    unterminated_quote = 3
    malformed_quote = 4  # text behind a closing quote
    empty_url = 5
    empty_caption = 6
    too_long = 7
    invalid_utf8 = 8


NO_RECORD = -1  # a blank line: neither a row nor a problem


@dataclass(frozen=True, slots=True)
class Records:
    """The n records cut from a block. A problem's url slice is the record as it stands."""

    offsets: Ints  # (4n + 1,) where each slice begins in the block, and where the last one ends
    borders: Ints  # (n + 1,) where each record begins, and where the last one ends
    line: Ints  # (n,) a record's first line, counted from 0 in this block
    problem: Ints  # (n,) a Reason, 0 for none, or NO_RECORD
    doubled: Bools  # (n, 2) whether url and caption hold doubled quotes
    lines: int  # lines that the records cover

    @property
    def consumed(self) -> int:
        """Bytes of the block that the records cover."""
        return int(self.borders[-1])


@dataclass(slots=True)
class _Fields:
    """Where the n records' parts begin and end, as offsets into the block."""

    start: Ints
    end: Ints  # of the content, without its line end
    url: Ints
    url_end: Ints
    caption: Ints
    caption_end: Ints
    separators: Ints  # commas outside quotes
    quotes: Ints  # quote characters


def cut(block: bytes, *, final: bool) -> Records:
    """Cut `block` into records; unless `final`, what the next block may continue is left over."""
    data = np.frombuffer(block, np.uint8)
    special = data == NEWLINE
    special |= data == QUOTE
    special |= data == COMMA
    position = np.flatnonzero(special)
    kind = data[position]
    is_quote = kind == QUOTE
    quotes_so_far = np.cumsum(is_quote)
    newlines = np.flatnonzero(kind == NEWLINE)
    odd = np.flatnonzero(np.diff(quotes_so_far[newlines], prepend=0) & 1)
    inner, lines = _join(block, position[newlines] + 1, odd, final=final)
    is_end = np.ones(lines, np.bool_)
    is_end[inner] = False
    newlines = newlines[:lines][is_end]
    if not len(newlines):
        none = np.zeros(0, np.int64)
        border, doubled = np.zeros(1, np.int64), np.zeros((0, 2), np.bool_)
        return Records(border, border, none, none, doubled, 0)

    fields = _find_fields(data, position, kind, quotes_so_far, newlines)
    problem, doubled = _judge(block, data, position[is_quote], fields)
    bad = problem != 0
    fields.url[bad], fields.url_end[bad] = fields.start[bad], fields.end[bad]
    fields.caption[bad] = fields.caption_end[bad] = fields.end[bad]
    offsets = np.empty(SLICES * len(newlines) + 1, np.int64)
    offsets[0:-1:SLICES] = _shifted(fields.caption_end)
    offsets[1::SLICES] = fields.url
    offsets[2::SLICES] = fields.url_end
    offsets[3::SLICES] = fields.caption
    offsets[-1] = fields.caption_end[-1]
    borders = np.append(fields.start, position[newlines[-1]] + 1)
    line = _shifted(np.flatnonzero(is_end) + 1)
    return Records(offsets, borders, line, problem, doubled, lines)


def _find_fields(
    data: Bytes, position: Ints, kind: Bytes, quotes_so_far: Ints, newlines: Ints
) -> _Fields:
    """Where url and caption are, if quotes are where they should be."""
    end = position[newlines]
    start = _shifted(end + 1)
    end = end - ((data[end - 1] == RETURN) & (end > start))
    quotes_before = _shifted(quotes_so_far[newlines])
    # A comma separates where the quotes before it in its record are balanced.
    commas = np.flatnonzero(kind[: newlines[-1]] == COMMA)
    record = np.searchsorted(newlines, commas)
    balanced = (quotes_so_far[commas] - quotes_before[record]) & 1 == 0
    commas, record = commas[balanced], record[balanced]
    separator = end.copy()
    separator[record[::-1]] = position[commas[::-1]]  # the first comma of each record is set last
    return _Fields(
        start=start,
        end=end,
        url=start.copy(),
        url_end=separator,
        caption=np.minimum(separator + 1, end),
        caption_end=end.copy(),
        separators=np.bincount(record, minlength=len(end)),
        quotes=quotes_so_far[newlines] - quotes_before,
    )


def _judge(block: bytes, data: Bytes, quote: Ints, fields: _Fields) -> tuple[Ints, Bools]:
    """(problem, doubled) of every record; strips enclosing quotes off the fields."""
    problem = np.zeros(len(fields.start), np.int64)
    problem[fields.separators == 0] = Reason.missing_column
    problem[fields.separators > 1] = Reason.extra_column
    unsure = fields.quotes & 1 == 1
    enclosing = _unwrap(data, fields.url, fields.url_end)
    enclosing += _unwrap(data, fields.caption, fields.caption_end)
    inside = fields.quotes > enclosing
    doubled = np.stack([inside, inside], axis=1)
    unsure[_with_stray_quote(data, quote, fields, inside)] = True
    unsure |= _may_be_blank(data, fields.url, fields.url_end)
    unsure |= _may_be_blank(data, fields.caption, fields.caption_end)
    for index in map(int, np.flatnonzero(unsure)):
        problem[index], *doubled[index] = _match(block, fields, index)
    problem[fields.end - fields.start > MAX_RECORD_BYTES] = Reason.too_long
    problem[fields.end == fields.start] = NO_RECORD
    return problem, doubled


def _with_stray_quote(data: Bytes, quote: Ints, fields: _Fields, suspect: Bools) -> Ints:
    """Which `suspect` records have a quote that neither encloses a field nor is doubled in one."""
    looked_at = np.repeat(suspect, fields.quotes)
    quote = quote[: len(looked_at)][looked_at]
    record = np.repeat(np.flatnonzero(suspect), fields.quotes[suspect])
    first = _shifted(np.cumsum(fields.quotes[suspect]))  # of each record's quotes
    nth = np.arange(len(quote)) - np.repeat(first, fields.quotes[suspect])
    before, after = data[quote - 1], data[quote + 1]
    begins = (quote == fields.start[record]) | (before == COMMA)
    ends = (after == COMMA) | (quote + 1 == fields.end[record])
    well = np.where(nth & 1 == 0, begins | (before == QUOTE), ends | (after == QUOTE))
    found: Ints = record[~well]
    return found


def _unwrap(data: Bytes, start: Ints, end: Ints) -> Ints:
    """Move `start` and `end` inside enclosing quotes; the number of quotes stripped."""
    wrapped = (data[start] == QUOTE) & (data[end - 1] == QUOTE) & (end - start >= 2)
    start += wrapped
    end -= wrapped
    stripped: Ints = 2 * wrapped.astype(np.int64)
    return stripped


def _may_be_blank(data: Bytes, start: Ints, end: Ints) -> Bools:
    """Which fields are empty or begin with white space."""
    first, last = data[start], len(data) - 1
    blank: Bools = (start == end) | (first <= SPACE)
    wide = np.flatnonzero(first == IDEOGRAPHIC_SPACE[0])
    for step in (1, 2):
        wide = wide[data[np.minimum(start[wide] + step, last)] == IDEOGRAPHIC_SPACE[step]]
    blank[wide] = True
    return blank


def _match(block: bytes, fields: _Fields, index: int) -> tuple[int, bool, bool]:
    """(problem, url doubled, caption doubled) of one odd-looking record; sets its fields."""
    start, end = int(fields.start[index]), int(fields.end[index])
    match = RECORD.fullmatch(block, start, block.index(b"\n", end) + 1)
    if match is None:
        return _why_not(block, fields, index), False, False
    url, caption = (match.span(n if match[n] is not None else n + 1) for n in (1, 3))
    fields.url[index], fields.url_end[index] = url
    fields.caption[index], fields.caption_end[index] = caption[0], min(caption[1], end)
    for span, reason in ((url, Reason.empty_url), (caption, Reason.empty_caption)):
        if not block[slice(*span)].decode("utf-8", "replace").strip():
            return reason, False, False
    # Only a quoted field doubles its quotes; in a plain one they stand for themselves.
    return 0, b'""' in (match[1] or b""), b'""' in (match[3] or b"")


def _why_not(block: bytes, fields: _Fields, index: int) -> Reason:
    """What is wrong with a record that does not match."""
    if fields.quotes[index] & 1:
        return Reason.unterminated_quote
    if fields.separators[index] == 0:
        return Reason.missing_column
    start, caption = int(fields.start[index]), int(fields.url_end[index]) + 1
    quoted = QUOTE in (block[start], block[caption])
    if fields.separators[index] == 1 and quoted:
        return Reason.malformed_quote
    return Reason.extra_column


def _shifted(values: Ints) -> Ints:
    """0, then all values but the last."""
    shifted = np.empty_like(values)
    shifted[:1] = 0
    shifted[1:] = values[:-1]
    return shifted


def _join(block: bytes, ends: Ints, odd: Ints, *, final: bool) -> tuple[list[int], int]:
    """(lines that end inside a quoted field, lines that can be decided without the next block).

    Only a line with an odd number of quotes can open a field that the next such line closes. It
    does not where that would be too much, or would swallow a line that is a row with a url.
    """
    inner: list[int] = []
    todo = deque(map(int, odd))
    while todo:
        opening = todo.popleft()
        start = int(ends[opening - 1]) if opening else 0
        if RECORD.fullmatch(block, start, int(ends[opening])):
            continue
        limit = start + MAX_RECORD_BYTES
        last = min(opening + MAX_RECORD_LINES, len(ends)) - 1
        closing = todo[0] if todo else None
        if closing is not None and closing <= last and ends[closing] <= limit:
            whole = RECORD.fullmatch(block, start, int(ends[closing]))
            if whole and not _holds_row(block, ends[opening : closing + 1]):
                inner.extend(range(opening, closing))
                todo.popleft()
        elif last == len(ends) - 1 and len(block) <= limit and not final:
            return inner, opening
    return inner, len(ends)


def _holds_row(block: bytes, ends: Ints) -> bool:
    """Whether one of the lines between `ends` is a row of its own."""
    return any(
        ROW_START.match(block, start) and RECORD.fullmatch(block, start, end)
        for start, end in pairwise(map(int, ends))
    )
