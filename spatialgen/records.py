"""Cutting blocks of CSV bytes into two-column records, by vector operations.

Quoting follows RFC 4180 as Python's csv module reads it, with one difference: an unbalanced quote
costs its own line and not the lines after it. Nothing is copied: a record is described by where
its four slices `url | comma | caption | line end` begin; quotes are still in place.
"""

import re
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

MAX_RECORD_BYTES = 1 << 16  # far above any caption: a longer record is damage
MAX_RECORD_LINES = 32  # that one quoted field may span
NEWLINE, QUOTE, COMMA, RETURN = b'\n",\r'
SLICES = 4
SPACE, IDEOGRAPHIC = (
    0x20,
    0xE3,
)  # a field that begins with neither is not blank (U+3000 is E3 80 80)

FIELD = rb'(?:"(?:[^"]|"")*"|[^",\n][^,\n]*|)'  # quoted, or plain with quotes only further in
RECORD = re.compile(rb"(" + FIELD + rb")," + FIELD + rb"\r?\n")

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Reason(IntEnum):
    """Why a record is no row."""

    missing_column = 1
    extra_column = 2
    unterminated_quote = 3
    invalid_utf8 = 4
    too_long = 5
    malformed_quote = 6  # text behind a closing quote
    empty_url = 7
    empty_caption = 8


BLANK = -1  # an empty line is no record, and no problem


@dataclass(frozen=True, slots=True)
class Records:
    """The n records cut from a block."""

    offsets: Ints  # (4n + 1,) where each slice begins in the block; the last is `consumed`
    line: Ints  # (n,) a record's first line, counted from 0 in this block
    problem: Ints  # (n,) a Reason that shows in the bytes, 0 for none, or BLANK
    simple: Bools  # (n,) certainly two non-empty fields without a quote inside them
    consumed: int  # bytes of the block that the records cover
    lines: int  # lines that they cover


@dataclass(frozen=True, slots=True)
class _Joins:
    """What the lines with an odd number of quotes turn out to be."""

    inner: list[int]  # lines whose end is inside a quoted field
    separators: dict[int, int]  # line that is a record by itself -> offset of its comma
    unterminated: list[int]  # lines that are damaged
    lines: int  # lines before the first one that only the next block can decide


def cut(block: bytes, *, final: bool) -> Records:
    """Cut `block` into records; unless `final`, what the next block may continue is left over."""
    data = np.frombuffer(block, np.uint8)
    special = data == NEWLINE
    special |= data == QUOTE
    special |= data == COMMA
    position = np.flatnonzero(special)
    kind = data[position]
    quotes_so_far = np.cumsum(kind == QUOTE)

    newlines = np.flatnonzero(kind == NEWLINE)
    ends = position[newlines] + 1
    odd = np.flatnonzero(np.diff(quotes_so_far[newlines], prepend=0) & 1)
    joins = _join(block, ends, odd, final=final)

    is_end = np.ones(joins.lines, np.bool_)
    is_end[joins.inner] = False
    newlines, ends = newlines[: joins.lines][is_end], ends[: joins.lines][is_end]
    line = _shifted(np.flatnonzero(is_end) + 1, first=0)
    if not len(ends):
        empty = np.zeros(0, np.int64)
        return Records(np.zeros(1, np.int64), empty, empty, empty.astype(np.bool_), 0, 0)

    starts = _shifted(ends, first=0)
    quotes_before = _shifted(quotes_so_far[newlines], first=0)
    quotes = quotes_so_far[newlines] - quotes_before
    # A comma separates where the quotes before it in its record are balanced.
    commas = np.flatnonzero(kind[: newlines[-1]] == COMMA)
    record = np.searchsorted(newlines, commas)
    balanced = (quotes_so_far[commas] - quotes_before[record]) & 1 == 0
    commas, record = commas[balanced], record[balanced]
    separators = np.bincount(record, minlength=len(ends))

    content_ends = ends - 1
    content_ends -= (data[content_ends - 1] == RETURN) & (content_ends > starts)
    separator = content_ends.copy()
    separator[record[::-1]] = position[commas[::-1]]  # the first comma of each record is set last
    for at, offset in joins.separators.items():
        own = np.searchsorted(line, at)
        separator[own], separators[own] = offset, 1

    problem = np.zeros(len(ends), np.int64)
    problem[separators == 0] = Reason.missing_column
    problem[separators > 1] = Reason.extra_column
    problem[np.searchsorted(line, joins.unterminated)] = Reason.unterminated_quote
    problem[ends - starts > MAX_RECORD_BYTES] = Reason.too_long
    problem[content_ends == starts] = BLANK

    caption = np.minimum(separator + 1, content_ends)
    quoted_url = _is_wrapped(data, starts, separator)
    quoted_caption = _is_wrapped(data, caption, content_ends)
    simple = (problem == 0) & (quotes == 2 * quoted_url.astype(np.int8) + 2 * quoted_caption)
    for first in (data[starts + quoted_url], data[caption + quoted_caption]):
        simple &= (first > SPACE) & (first != IDEOGRAPHIC) & (first != COMMA)

    offsets = np.empty(SLICES * len(ends) + 1, np.int64)
    offsets[0:-1:SLICES] = starts
    offsets[1::SLICES] = separator
    offsets[2::SLICES] = caption
    offsets[3::SLICES] = content_ends
    offsets[-1] = ends[-1]
    return Records(offsets, line, problem, simple, int(ends[-1]), joins.lines)


def _is_wrapped(data: npt.NDArray[np.uint8], starts: Ints, ends: Ints) -> Bools:
    """Whether fields that lie between two quotes hold something."""
    wrapped: Bools = (data[starts] == QUOTE) & (data[ends - 1] == QUOTE) & (ends - starts > 2)
    return wrapped


def _shifted(values: Ints, *, first: int) -> Ints:
    """`first`, then all values but the last."""
    shifted = np.empty_like(values)
    shifted[:1] = first
    shifted[1:] = values[:-1]
    return shifted


def _join(block: bytes, ends: Ints, odd: Ints, *, final: bool) -> _Joins:
    """Decide the rare lines with an odd number of quotes, one after the other.

    Such a line is a record by itself (`a,5" pipe`), opens one that a later such line closes, or is
    damaged. A record that would span too much is damage too.
    """
    joins = _Joins([], {}, [], len(ends))
    todo = list(map(int, odd))
    while todo:
        opening = todo.pop(0)
        start = int(ends[opening - 1]) if opening else 0
        if alone := RECORD.fullmatch(block, start, int(ends[opening])):
            joins.separators[opening] = alone.end(1)
            continue
        limit = start + MAX_RECORD_BYTES
        last = min(opening + MAX_RECORD_LINES, len(ends)) - 1
        closing = todo[0] if todo else None
        if closing is not None and closing <= last and ends[closing] <= limit:
            if RECORD.fullmatch(block, start, int(ends[closing])):
                joins.inner.extend(range(opening, closing))
                todo.pop(0)
                continue
        elif last == len(ends) - 1 and len(block) <= limit and not final:
            return _Joins(joins.inner, joins.separators, joins.unterminated, opening)
        joins.unterminated.append(opening)
    return joins
