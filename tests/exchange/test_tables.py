"""Tables as CSV and Parquet. What the command line says of mistakes: tests/pipeline/test_filter."""

import csv
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from spatialgen.errors import InputError
from spatialgen.exchange.tables import export_table
from tests.exchange.sets import many, publish_all, take_in


@pytest.fixture
def filled(lake, tmp_path):
    take_in(lake, many(tmp_path / "set", 20), tmp_path / "out")
    publish_all(lake, tmp_path / "out")
    return lake


def test_parquet_holds_what_the_table_holds_but_pictures(filled, tmp_path: Path) -> None:
    for name in ("boxes", "images", "candidates", "splits"):
        file = tmp_path / f"{name}.parquet"
        assert export_table(filled, name, file) == 20
        table = filled[name].dataset()
        columns = [field.name for field in table.schema if field.name != "image"]
        read = pq.read_table(file)
        assert read.column_names == columns
        assert read.to_pylist() == table.to_table(columns=columns).to_pylist()
    some = tmp_path / "some.parquet"
    test = len(filled["splits"].dataset().to_table(filter="split = 'train'"))
    assert export_table(filled, "splits", some, where="split = 'train'") == test > 0
    assert set(pq.read_table(some)["split"].to_pylist()) == {"train"}


def test_csv_holds_captions_with_commas_quotes_and_lines(filled, tmp_path: Path) -> None:
    file = tmp_path / "captions.csv"
    assert export_table(filled, "captions", file) == 20
    with file.open(encoding="utf-8", newline="") as lines:
        read = list(csv.DictReader(lines))
    columns = ["url", "caption", "spatial_type"]
    assert read == filled["captions"].dataset().to_table(columns=columns).to_pylist()
    assert any("," in row["url"] for row in read)
    with pytest.raises(InputError, match=r"boxes.objects is nested, and CSV is flat; name a .parq"):
        export_table(filled, "boxes", tmp_path / "boxes.csv")
    assert export_table(filled, "images", tmp_path / "images.csv") == 20
