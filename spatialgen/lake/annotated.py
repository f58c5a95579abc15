"""Annotated rows with all that the lake knows of them, chosen by a condition in SQL."""

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from spatialgen.errors import QueryError
from spatialgen.lake.lake import Lake
from spatialgen.lake.sql import check_condition, connect


@contextmanager
def annotated_view(lake: Lake, where: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB with the view `annotated`: the rows of lake/boxes that satisfy `where`, with the
    columns of boxes, captions (but its error), images and, once there is one, splits.

    QueryError where `where` is no condition, or does not run in the block.
    """
    check_condition(where)
    split, joined = "", ""
    if lake["splits"].exists:
        split, joined = ", splits.* exclude (row_id)", "left join splits using (row_id)"
    query = f"""
        select * from (
            select boxes.*, captions.* exclude (row_id, error), images.* exclude (sha256){split}
            from boxes join captions using (row_id) left join images using (sha256) {joined}
        ) where (\n{where}\n)"""
    with connect(lake, query) as connection:
        try:
            connection.execute(f"create view annotated as {query}")
            yield connection
        except duckdb.Error as error:
            raise QueryError(
                f"--where {where} does not run ({str(error).splitlines()[0][:200]}); use columns "
                "of boxes, captions, images and splits: spatialgen tables boxes"
            ) from None
