"""A table's manifest: the small JSON in git that says what the table holds.

It states content facts only, so equal content gives the equal file on every machine: DVC stages
depend on it instead of on the Lance folder, whose file names are random.
"""

import json
from dataclasses import asdict, dataclass, field
from hashlib import md5
from pathlib import Path
from typing import Any

import lance
import pyarrow as pa

from spatialgen.errors import LakeError
from spatialgen.lake import duck
from spatialgen.lake.schemas import TableSpec, is_blob

LOW_64_BITS = 2**64 - 1


@dataclass(frozen=True)
class Manifest:
    """Content facts of one published table.

    `digest` does not depend on row order; `schema` hashes column names and types; `counts` holds
    the number of rows per value of each class column.
    """

    table: str
    rows: int
    digest: str
    schema: str
    counts: dict[str, dict[str, int]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, source: str) -> "Manifest":
        """The manifest in `text`; `source` names it in errors."""
        try:
            return cls(**json.loads(text))
        except (TypeError, ValueError) as error:
            raise LakeError(
                f'{source} is not a table manifest ({error}); restore it with "git checkout"'
            ) from None

    @classmethod
    def read(cls, path: Path) -> "Manifest | None":
        """The manifest at `path`, or None where there is none."""
        try:
            return cls.parse(path.read_text(encoding="utf-8"), str(path))
        except FileNotFoundError:
            return None

    def write(self, path: Path) -> None:
        """Write it as stable, diffable JSON."""
        path.write_text(
            json.dumps(asdict(self), indent=2, ensure_ascii=False, sort_keys=True) + "\n",
            encoding="utf-8",
        )


def describe(spec: TableSpec, dataset: lance.LanceDataset) -> Manifest:
    """Read a dataset once more and state what it holds."""
    connection = duck.connect()
    try:
        connection.register("described", _stream(dataset))
        rows, digest = _digest(connection, dataset.schema)
        counts = {}
        for name in spec.classes:
            connection.register("described", _stream(dataset))
            counts[name] = _count(connection, name)
    finally:
        connection.close()
    return Manifest(spec.name, rows, digest, schema_hash(dataset.schema), counts)


def schema_hash(schema: pa.Schema) -> str:
    """16 hex digits over column names and types."""
    columns = "\n".join(f"{column.name} {column.type}" for column in schema)
    return md5(columns.encode(), usedforsecurity=False).hexdigest()[:16]


def _stream(dataset: lance.LanceDataset) -> pa.RecordBatchReader:
    """Everything but blobs, read ahead by so little that memory does not depend on the size."""
    columns = [column.name for column in dataset.schema if not is_blob(column)]
    return dataset.scanner(columns=columns, batch_readahead=4, fragment_readahead=1).to_reader()


def _digest(connection: Any, schema: pa.Schema) -> tuple[int, str]:
    """Rows, and the sum modulo 2^128 of the md5 of every row.

    A row is encoded as length-prefixed values, so that neither NULL and '' nor a shifted column
    border can be confused. Blobs are left out: their sha256 column stands for them.
    """
    values = []
    for column in schema:
        if is_blob(column):
            continue
        name = f'"{column.name}"'
        text = f"to_json({name})" if pa.types.is_nested(column.type) else name
        values.append(f"coalesce(strlen({text}::varchar) || ':' || {text}::varchar, '-')")
    # Halves are summed apart: a sum of 128-bit numbers would turn into a double.
    ((rows, high, low),) = connection.execute(
        f"""
        select count(*),
               coalesce(sum((hash >> 64)::hugeint), 0),
               coalesce(sum((hash & {LOW_64_BITS}::uhugeint)::hugeint), 0)
        from (select md5_number({" || ".join(values)}) as hash from described)
        """
    ).fetchall()
    return int(rows), f"{((int(high) << 64) + int(low)) % 2**128:032x}"


def _count(connection: Any, name: str) -> dict[str, int]:
    counted = connection.execute(
        f"""select coalesce("{name}"::varchar, 'null'), count(*)
            from described group by 1 order by 1"""
    )
    return {str(value): int(rows) for value, rows in counted.fetchall()}
