import duckdb
from hypothesis import given
from hypothesis import strategies as st

from spatialgen.lake.ids import fingerprint, h64_sql, row_id

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))


@given(st.lists(st.tuples(text, text), min_size=1, max_size=20))
def test_row_id_is_the_same_in_python_and_sql(rows: list[tuple[str, str]]) -> None:
    with duckdb.connect() as connection:
        placeholders = ", ".join(["(?, ?)"] * len(rows))
        values = [value for row in rows for value in row]
        query = f"select {h64_sql('u', 'c')} from (values {placeholders}) t(u, c)"
        found = [row[0] for row in connection.execute(query, values).fetchall()]
    assert found == [row_id(url, caption) for url, caption in rows]


def test_row_id_is_signed_and_fixed_for_ever() -> None:
    assert row_id("http://a/1.jpg", "左边是猫") == 874990706954463189
    assert min(row_id("u", str(n)) for n in range(100)) < 0


def test_fingerprint_sees_values_and_not_their_order() -> None:
    assert fingerprint(model="m", prompt="p") == fingerprint(prompt="p", model="m")
    assert fingerprint(model="m", prompt="p") != fingerprint(model="m", prompt="q")
