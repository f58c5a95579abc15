"""From rows to a published table: written once per content, shared by hard links.

`.lake/published/<table>/<digest>` holds each version once. The DVC out `lake/<table>.lance` shares
its files, so going back to old content, or arriving at equal content by another way, writes nothing
and gives byte-identical outs. A kill leaves scratch folders and nothing else.
"""

import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from lance.fragment import FragmentMetadata

from spatialgen.lake import duck
from spatialgen.lake.links import files_under, link_file, link_tree, scratch_beside
from spatialgen.lake.manifest import Manifest, describe
from spatialgen.lake.schemas import TABLES, TableSpec
from spatialgen.lake.store import Dataset, delete_addresses

SIDECAR = "manifest.json"  # a copy inside the table's folder tells whether the two belong together
UNDELETED = {"deletion_file": None}


def publish_rows(
    spec: TableSpec, batches: Iterable[pa.RecordBatch], published: Path, out: Path
) -> Manifest:
    """Publish rows that arrive in the order of `spec.key`; later rows of an equal key are dropped.

    Memory stays at a few batches. Returns the manifest that is also written beside `out`.
    """

    def write(scratch: Path) -> lance.LanceDataset:
        raised: list[Exception] = []
        rows = _noting(unique_rows(spec, batches), raised)
        reader = pa.RecordBatchReader.from_batches(spec.schema, rows)
        try:
            return lance.write_dataset(reader, str(scratch), schema=spec.schema)
        except OSError:
            if raised:  # Lance would show its text inside an error of its own
                raise raised[0] from None
            raise

    return _publish(spec, write, published, out)


def _noting(batches: Iterator[pa.RecordBatch], raised: list[Exception]) -> Iterator[pa.RecordBatch]:
    try:
        yield from batches
    except Exception as error:
        raised.append(error)
        raise


def publish_fragments(
    spec: TableSpec, store: lance.LanceDataset, wanted: pa.Table, published: Path, out: Path
) -> Manifest:
    """Publish the store's rows whose key is in `wanted`, without copying a blob.

    The new table shares the data files of the fragments that hold a wanted row; their other rows,
    and repeated keys, are marked deleted. One more percent of rows costs one more percent of bytes.
    """
    (key,) = spec.key
    fragments, unwanted = _choose_fragments(store, wanted, key)

    def write(scratch: Path) -> lance.LanceDataset:
        if not fragments:
            empty = spec.schema.empty_table()
            return lance.write_dataset(empty, str(scratch), schema=store.schema)
        return link_fragments(store, fragments, unwanted, scratch)

    return _publish(spec, write, published, out)


def link_fragments(
    source: lance.LanceDataset, fragments: list[int], unwanted: list[int], target: Path
) -> lance.LanceDataset:
    """A new dataset at `target` of some `fragments` of `source`, less the `unwanted` addresses.

    Rows deleted in `source` come back unless they are `unwanted`.
    """
    chosen = _share(source, fragments, target)
    operation = lance.LanceOperation.Overwrite(source.schema, chosen)
    dataset = lance.LanceDataset.commit(str(target), operation)
    # Overwrite numbers the fragments anew, in the order given.
    renumbered = {old: new for new, old in enumerate(fragments)}
    addresses = [renumbered[a >> 32] << 32 | a & 0xFFFFFFFF for a in unwanted]
    delete_addresses(dataset, addresses)
    return dataset


def adopt_fragments(spec: TableSpec, source: lance.LanceDataset, store: Dataset) -> int:
    """Give `store` the fragments of `source` that hold keys it lacks; returns the rows added."""
    (key,) = spec.key
    store.create()
    stored = lance.dataset(str(store.path))
    known = stored.to_table(columns=[key]).column(key).combine_chunks()
    lacking = []
    for fragment in source.get_fragments():
        held = fragment.to_table(columns=[key]).column(key)
        if not pc.all(pc.is_in(held, value_set=known)).as_py():
            lacking.append(fragment.fragment_id)
    if not lacking:
        return 0
    operation = lance.LanceOperation.Append(_share(source, lacking, store.path))
    grown = lance.LanceDataset.commit(str(store.path), operation, read_version=stored.version)
    return int(grown.count_rows() - stored.count_rows())


def _share(source: lance.LanceDataset, fragments: list[int], target: Path) -> list[Any]:
    """Link the data files of `fragments` into `target`; their metadata, without deletions."""
    (target / "data").mkdir(parents=True, exist_ok=True)
    shared = []
    for number in fragments:
        metadata = source.get_fragment(number).metadata
        for data_file in metadata.files:
            link_data_file(Path(source.uri) / "data" / data_file.path, target / "data")
        shared.append(FragmentMetadata.from_json(json.dumps({**metadata.to_json(), **UNDELETED})))
    return shared


def link_data_file(data_file: Path, folder: Path) -> None:
    """Share a Lance data file and the folder of blob files that belongs to it."""
    if not (folder / data_file.name).exists():
        link_file(data_file, folder / data_file.name)
    blobs = data_file.with_suffix("")
    for blob in files_under(blobs):
        if not (folder / blobs.name / blob.name).exists():
            (folder / blobs.name).mkdir(exist_ok=True)
            link_file(blob, folder / blobs.name / blob.name)


def sidecar(table: Path) -> Manifest | None:
    """The manifest inside a table's folder, or None where the folder is no published table."""
    return Manifest.read(table / SIDECAR)


def settle(scratch: Path, place: Path, manifest: Manifest) -> None:
    """Give a finished scratch table its lasting `place`, unless an equal one is there already.

    What is there is read once more: a version damaged on disk is replaced and never passed on.
    """
    if holds(place, manifest):
        return
    shutil.rmtree(place, ignore_errors=True)
    try:
        scratch.rename(place)
    except OSError:
        if not is_sound(place, manifest):  # else another run has published the same rows meanwhile
            raise


def holds(place: Path, manifest: Manifest) -> bool:
    """Whether `place` is sound and every row in it, read once more, is as the manifest says."""
    spec = TABLES.get(manifest.table)
    try:
        return is_sound(place, manifest) and (
            spec is None or describe(spec, lance.dataset(str(place))) == manifest
        )
    except (OSError, ValueError, duckdb.Error):
        return False


def is_sound(place: Path, manifest: Manifest) -> bool:
    """Whether `place` holds the table of `manifest` with all its data files, as they say."""
    if sidecar(place) != manifest:
        return False
    try:
        dataset = lance.dataset(str(place))
        for fragment in dataset.get_fragments():
            fragment.validate()
        return bool(dataset.count_rows() == manifest.rows)
    except (OSError, ValueError):
        return False


def _publish(
    spec: TableSpec,
    write: Callable[[Path], lance.LanceDataset],
    published: Path,
    out: Path,
) -> Manifest:
    scratch = scratch_beside(published / spec.name / "new")
    scratch.parent.mkdir(parents=True, exist_ok=True)
    try:
        manifest = describe(spec, write(scratch))
        manifest.write(scratch / SIDECAR)
        place = published / spec.name / manifest.digest
        settle(scratch, place, manifest)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    link_tree(place, out)
    manifest.write(out.with_suffix(".json"))  # last: its presence says that the table is complete
    return manifest


def unique_rows(spec: TableSpec, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches in the table's schema, without rows whose key equals the row's before."""
    last: tuple[object, ...] | None = None
    for batch in batches:
        if not batch.num_rows:
            continue
        keys = [batch.column(name) for name in spec.key]
        first_key = tuple(column[0].as_py() for column in keys)
        fresh = _differs_from_previous(keys, differs_at_first=first_key != last)
        last = tuple(column[-1].as_py() for column in keys)
        columns = [batch.column(column.name) for column in spec.schema]
        yield pa.RecordBatch.from_arrays(columns, schema=spec.schema).filter(fresh)


def _differs_from_previous(keys: list[pa.Array], *, differs_at_first: bool) -> pa.Array:
    differs = pa.array([False] * (len(keys[0]) - 1), pa.bool_())
    for column in keys:
        differs = pc.or_(differs, pc.not_equal(column[1:], column[:-1]))
    return pa.concat_arrays([pa.array([differs_at_first]), differs])


def _choose_fragments(
    store: lance.LanceDataset, wanted: pa.Table, key: str
) -> tuple[list[int], list[int]]:
    """Fragments that hold a wanted key, and the addresses in them that are not to be published."""
    stored = store.scanner(columns=[key], with_row_address=True).to_table()
    connection = duck.connect()
    try:
        connection.register("stored", stored.rename_columns(["key", "address"]))
        connection.register("wanted", wanted.select([key]).rename_columns(["key"]))
        chosen = connection.sql(
            """
            select min(address)::bigint as address
            from stored semi join wanted using (key) group by key order by address
            """
        ).to_arrow_table()
    finally:
        connection.close()
    addresses = chosen.column("address").to_numpy()
    fragments = np.unique(addresses >> 32)
    every = [
        (int(number) << 32) + np.arange(store.get_fragment(int(number)).physical_rows)
        for number in fragments
    ]
    unwanted = np.setdiff1d(np.concatenate(every), addresses) if every else addresses
    return fragments.tolist(), unwanted.tolist()
