"""Laws of the split, against a plain union-find."""

import hashlib
import math
import random

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialgen import splits
from spatialgen.errors import ParamsError
from spatialgen.params import SplitParams, load_params
from spatialgen.splits import SPLIT, split_rows
from tests.conftest import REPOSITORY

ROWS = st.lists(
    st.tuples(st.sampled_from("甲乙丙丁戊己庚辛"), st.sampled_from("12345678")), max_size=30
)
PARAMS = SplitParams(val=0.2, test=0.2, salt="s", max_group=100)


def split(rows, params=PARAMS):
    """(group_id, split) by row_id of (caption, picture) rows, whose place is their row_id."""
    connection = duckdb.connect()
    try:
        table = {
            "row_id": range(len(rows)),
            "caption": [c for c, _ in rows],
            "picture": [p for _, p in rows],
        }
        schema = pa.schema(
            [("row_id", pa.int64()), ("caption", pa.string()), ("picture", pa.string())]
        )
        connection.register("row", pa.table({k: list(v) for k, v in table.items()}, schema=schema))
        split_rows(connection, params)
        found = connection.execute("select * from split_row").fetchall()
    finally:
        connection.close()
    return {row_id: (group, name) for row_id, group, name in found}


def expected(rows, params=PARAMS):
    """The same, as the docstring says it."""
    members = [[f"caption:{c}", f"picture:{p}"] for c, p in rows]
    shared = {name: sum(name in each for each in members) for each in members for name in each}
    parent = list(range(len(rows)))

    def find(i):
        while parent[i] != i:
            i = parent[i]
        return i

    for i, one in enumerate(members):
        for j, other in enumerate(members[:i]):
            if any(name in other and shared[name] <= params.max_group for name in one):
                a, b = sorted((find(i), find(j)))
                parent[b] = a
    ranks = [max(rank(name, params) for name in each) for each in members]
    groups = [find(i) for i in range(len(rows))]
    return {
        i: (groups[i], SPLIT[max(r for r, g in zip(ranks, groups, strict=True) if g == groups[i])])
        for i in range(len(rows))
    }


def rank(name, params):
    digest = hashlib.md5(f"{params.salt}\x1f{name}".encode()).digest()
    draw = int.from_bytes(digest[8:], "little") / 2**64
    test, val = 1 - math.sqrt(1 - params.test), 1 - math.sqrt(1 - params.test - params.val)
    return 2 if draw < test else 1 if draw < val else 0


@given(ROWS, st.sampled_from([2, 4, 100]))
@settings(max_examples=40)
def test_groups_and_splits_are_those_of_a_union_find(rows, max_group):
    params = PARAMS.model_copy(update={"max_group": max_group})
    assert split(rows, params) == expected(rows, params)


@given(ROWS, ROWS)
@settings(max_examples=40)
def test_more_rows_move_a_row_only_towards_test(rows, more):
    before, after = split(rows), split(rows + more)
    for row_id, (_, name) in before.items():
        assert SPLIT.index(after[row_id][1]) >= SPLIT.index(name)


@given(ROWS)
@settings(max_examples=40)
def test_no_caption_or_picture_is_on_two_sides(rows):
    found = split(rows)
    for place in (0, 1):
        sides: dict[str, set[str]] = {}
        for row_id, row in enumerate(rows):
            sides.setdefault(row[place], set()).add(found[row_id][1])
        assert all(len(names) == 1 for names in sides.values())


def test_a_long_chain_is_one_group():
    rows = [(f"c{n // 2}", f"p{(n + 1) // 2}") for n in range(2000)]
    assert {group for group, _ in split(rows).values()} == {0}


def test_rows_on_their_own_have_the_shares_that_were_asked_for():
    found = split(
        [(f"c{n}", f"p{n}") for n in range(20_000)],
        SplitParams(val=0.05, test=0.1, salt="a", max_group=9),
    )
    shares = {name: sum(each == name for _, each in found.values()) / 20_000 for name in SPLIT}
    assert shares["test"] == pytest.approx(0.1, abs=0.01)
    assert shares["val"] == pytest.approx(0.05, abs=0.01)


def test_another_salt_is_another_split():
    rows = [(f"c{n}", f"p{n}") for n in range(200)]
    assert split(rows) == split(rows)
    assert split(rows) != split(rows, PARAMS.model_copy(update={"salt": "t"}))


def test_shares_that_leave_nothing_are_refused():
    with pytest.raises(ParamsError, match="leave nothing to train on"):
        load_params(REPOSITORY / "params.yaml", {"split.val": 0.6, "split.test": 0.5})


def test_a_chain_takes_few_rounds_in_whatever_order_its_rows_are():
    places = list(range(400))
    random.Random(0).shuffle(places)
    links = [(f"c{n // 2}", f"p{(n + 1) // 2}") for n in places]
    rounds, join = [], splits._join_groups

    def counted(connection):
        rounds.append(connection)
        return join(connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splits, "_join_groups", counted)
        found = split(links)
    assert {group for group, _ in found.values()} == {0}
    assert len(rounds) < 12
