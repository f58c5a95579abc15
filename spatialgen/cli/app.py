"""Commands over the lake. Each loads what it needs itself, so that --help and errors stay quick."""

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from spatialgen.cli.evaluate import evaluate
from spatialgen.cli.output import Format, print_table
from spatialgen.cli.painted import generate, trace
from spatialgen.cli.suites import export as export_suite
from spatialgen.exchange.forms import Form, Unit


class RowStageName(StrEnum):
    """Stages that `estimate` knows."""

    filter = "filter"
    download = "download"
    annotate = "annotate"


app = typer.Typer(
    help="A versioned data lake for spatially controlled Chinese image generation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
store = typer.Typer(help="Look after the store behind the tables.", no_args_is_help=True)
app.add_typer(store, name="store")
app.add_typer(evaluate, name="eval")
app.command()(generate)
app.command()(trace)
evaluate.command("export")(export_suite)


@app.command()
def sql(
    query: Annotated[str, typer.Argument(help="SQL, or a .sql file such as queries/funnel.sql")],
    param: Annotated[
        list[str] | None, typer.Option("-p", "--param", help="name=value for $name in the query")
    ] = None,
    format: Annotated[Format, typer.Option(help="how to print the rows")] = Format.table,
    at: Annotated[
        str | None, typer.Option(help="a git revision or experiment instead of the workspace")
    ] = None,
) -> None:
    """Query every table, store.*, runs and metrics; read-only."""
    from spatialgen.lake.history import Revision, committed
    from spatialgen.lake.lake import Lake
    from spatialgen.lake.sql import run_query

    lake, text = Lake(), _read_query(query)
    snapshot = lake if at is None else Revision(lake, at)
    others = {"committed": committed(lake)}
    for table in run_query(snapshot, text, _parse_params(param or []), others):
        print_table(table, format)


@app.command()
def diff(
    old: Annotated[str, typer.Argument(help="a git revision or an experiment")],
    new: Annotated[
        str | None, typer.Argument(help="likewise; the workspace where it is left out")
    ] = None,
    table: Annotated[list[str] | None, typer.Option(help="only this table; repeatable")] = None,
    sql: Annotated[
        str | None, typer.Option(help="a query instead, or a .sql file: old.captions, new.captions")
    ] = None,
    param: Annotated[
        list[str] | None, typer.Option("-p", "--param", help="name=value for $name in the query")
    ] = None,
    format: Annotated[Format, typer.Option(help="how to print the rows")] = Format.table,
) -> None:
    """Show what changed between two versions: rows added, removed and changed, by column."""
    from spatialgen.lake.diff import diff as compare
    from spatialgen.lake.history import Revision
    from spatialgen.lake.lake import Lake
    from spatialgen.lake.sql import run_query

    lake = Lake()
    before = Revision(lake, old)
    after = lake if new is None else Revision(lake, new)
    if sql is None:
        print_table(compare(before, after, table or []), format)
        return
    states = {"old": before, "new": after}
    for result in run_query(after, _read_query(sql), _parse_params(param or []), states):
        print_table(result, format)


@app.command()
def tables(
    name: Annotated[str | None, typer.Argument(help="one table: its columns instead")] = None,
    format: Annotated[Format, typer.Option(help="how to print the rows")] = Format.table,
) -> None:
    """List the tables (rows, version, size, digest), or one table's columns with their meaning."""
    from spatialgen.cli.overview import columns_of, list_tables
    from spatialgen.lake.lake import Lake

    lake = Lake()
    print_table(columns_of(lake, name) if name else list_tables(lake), format)


@app.command()
def status(
    format: Annotated[Format, typer.Option(help="how to print the rows")] = Format.table,
) -> None:
    """Show how far the running row stages are: done, left, rows/s, ETA; from any shell."""
    from spatialgen.cli.overview import list_runs
    from spatialgen.lake.lake import Lake

    print_table(list_runs(Lake()), format)


@app.command()
def estimate(
    stage: Annotated[RowStageName, typer.Argument(help="a stage that asks a model")],
    gpu_hour_price: Annotated[
        float | None, typer.Option(min=0, help="of one device, in any currency: adds the price")
    ] = None,
    set_param: Annotated[
        list[str] | None, typer.Option("-S", "--set-param", help="section.key=value for this time")
    ] = None,
    sample: Annotated[int, typer.Option(min=1, help="rows to answer for the measurement")] = 1024,
    format: Annotated[Format, typer.Option(help="how to print the rows")] = Format.table,
) -> None:
    """Forecast a stage before it runs: rows to do and reused, rows/s, time, price."""
    from spatialgen.captions.estimate import estimate_filter
    from spatialgen.cli.overview import forecast
    from spatialgen.fetch.estimate import estimate_download
    from spatialgen.grounding.estimate import estimate_annotate
    from spatialgen.lake.lake import Lake
    from spatialgen.params import load_params, parse_overrides
    from spatialgen.project import find_root

    os.chdir(find_root())  # params name paths from there
    estimates = {
        RowStageName.filter: estimate_filter,
        RowStageName.download: estimate_download,
        RowStageName.annotate: estimate_annotate,
    }
    params = load_params(overrides=parse_overrides(set_param or []))
    found = estimates[stage](Lake("lake"), params, sample)
    print_table(forecast(found, gpu_hour_price), format)


@app.command()
def probe(
    target: Annotated[
        int, typer.Option(min=1, help="pictures that you need: says how many captions that takes")
    ] = 200_000,
    sample: Annotated[int, typer.Option(min=1, max=100_000, help="URLs to try")] = 1000,
    hosts: Annotated[int, typer.Option(min=0, help="hosts to show, those with most URLs")] = 20,
    set_param: Annotated[
        list[str] | None, typer.Option("-S", "--set-param", help="section.key=value for this time")
    ] = None,
    format: Annotated[Format, typer.Option(help="how to print the rows")] = Format.table,
) -> None:
    """Try some URLs: the share that works, by host, with intervals; what is fetched is kept."""
    from spatialgen.cli.overview import yields
    from spatialgen.fetch.probe import probe as probe_urls
    from spatialgen.lake.lake import Lake
    from spatialgen.params import load_params, parse_overrides
    from spatialgen.project import find_root

    os.chdir(find_root())  # params name paths from there
    params = load_params(overrides=parse_overrides(set_param or []))
    *by_host, together = probe_urls(Lake("lake"), params, sample)
    print_table(yields([*by_host[:hosts], together], target), format)


@app.command(context_settings={"ignore_unknown_options": True})  # row ids may be negative
def show(
    row_id: Annotated[int | None, typer.Argument(help="a row of lake/boxes")] = None,
    out: Annotated[Path, typer.Option(help="the .jpg or .png file to write")] = Path("show.jpg"),
    random: Annotated[
        int | None, typer.Option(min=1, max=1000, help="so many rows, drawn at random")
    ] = None,
    where: Annotated[
        str, typer.Option(help="rows to draw from: SQL over boxes and captions")
    ] = "true",
    seed: Annotated[int, typer.Option(help="of the draw")] = 0,
    columns: Annotated[int, typer.Option(min=1, max=50, help="pictures side by side")] = 4,
    format: Annotated[Format, typer.Option(help="how to print the rows")] = Format.table,
) -> None:
    """Draw annotated pictures: boxes, names, caption, and what the referee says."""
    from spatialgen.cli.show import choose_rows, show_rows
    from spatialgen.errors import InputError
    from spatialgen.lake.lake import Lake

    if (row_id is None) == (random is None):
        raise InputError("show needs a ROW_ID or --random N, one of the two")
    lake = Lake()
    rows = [row_id] if row_id is not None else choose_rows(lake, random or 1, where, seed)
    print_table(show_rows(lake, rows, out, columns), format)
    print(f"drawn in {out}", file=sys.stderr)


@app.command()
def plan(
    caption: Annotated[list[str], typer.Argument(help="what is to be in the picture, and where")],
    planner: Annotated[
        Path | None, typer.Option(help="a planner's folder; models/planner where it is left out")
    ] = None,
    samples: Annotated[
        int, typer.Option(min=1, max=64, help="more: the best of so many by the referee")
    ] = 1,
    temperature: Annotated[float, typer.Option(min=0.01, max=10, help="of the samples")] = 0.7,
    seed: Annotated[int, typer.Option(help="of the samples")] = 0,
    copy_names: Annotated[bool, typer.Option(help="name things only as the caption does")] = True,
    draw: Annotated[Path | None, typer.Option(help="a .jpg or .png file for the boxes")] = None,
    format: Annotated[Format, typer.Option(help="how to print the rows")] = Format.table,
) -> None:
    """Say where the things of captions could be: a trained planner's layouts."""
    from spatialgen.cli.planned import draw_layouts, layout_table
    from spatialgen.planner.planner import LayoutPlanner
    from spatialgen.project import find_root

    model = LayoutPlanner.from_pretrained(planner or find_root() / "models" / "planner")
    layouts = model.plan(caption, samples=samples, temperature=temperature, seed=seed,
                         copy_names=copy_names)  # fmt: skip
    print_table(layout_table(caption, layouts), format)
    if draw:
        draw_layouts(caption, layouts, draw)
        print(f"drawn in {draw}", file=sys.stderr)


@app.command()
def export(
    table: Annotated[str, typer.Argument(help="a table, such as captions")],
    target: Annotated[Path, typer.Argument(help="a .csv or .parquet file; of boxes, a folder")],
    where: Annotated[
        str | None,
        typer.Option(
            help="rows to take (captions: strong and weak ones); SQL over the table's columns, for "
            "a folder over those of boxes, captions, images and splits"
        ),
    ] = None,
    form: Annotated[
        Form | None,
        typer.Option(
            help="write a folder: images/ and samples.jsonl (the default), or annotations.json"
        ),
    ] = None,
    force: Annotated[bool, typer.Option(help="replace what is there")] = False,
) -> None:
    """Write a table as CSV or Parquet (without pictures), or boxes with their pictures as a folder.

    It appears when it is complete; a kill leaves .NAME.*.tmp beside it, to be removed.
    """
    from spatialgen.errors import InputError
    from spatialgen.exchange.samples import export_samples
    from spatialgen.exchange.tables import SUFFIXES, export_table
    from spatialgen.lake.lake import Lake

    if form is None and target.suffix in SUFFIXES:
        rows = export_table(Lake(), table, target, where=where, force=force)
        print(f"{rows} rows in {target}", file=sys.stderr)
        return
    if table != "boxes" or (form is None and target.suffix):
        raise InputError(
            f"{table} cannot be written to {target}; name a .csv or .parquet file (of boxes, also "
            "a folder: --form jsonl or coco)"
        )
    condition = "true" if where is None else where
    done = export_samples(Lake(), target, form or Form.jsonl, where=condition, force=force)
    print(f"{done.rows} rows and {done.pictures} pictures in {target}", file=sys.stderr)


@app.command("import")
def import_folder(
    source: Annotated[Path, typer.Argument(help="a .jsonl file, or the folder that holds one")],
    out: Annotated[Path, typer.Option(help="the folder to write for the pipeline")],
    boxes: Annotated[Unit, typer.Option(help="what a bbox counts in")] = Unit.unit,
    force: Annotated[bool, typer.Option(help="replace what is there")] = False,
    format: Annotated[Format, typer.Option(help="how to print the counts")] = Format.table,
) -> None:
    """Take pictures that you have into the store, with their captions and boxes, from a JSONL file.

    A line has image_path, caption and, where there are any, objects (name, bbox) and url.
    """
    from spatialgen.cli.imported import count_lines, next_command
    from spatialgen.exchange.imports import import_samples
    from spatialgen.lake.lake import Lake
    from spatialgen.params import load_params
    from spatialgen.project import find_root

    params = load_params(find_root() / "params.yaml")
    done = import_samples(Lake(), source, out, params, unit=boxes, force=force)
    print_table(count_lines(done), format)
    print(f"{out} is written; go on with\n  {next_command(done, out)}", file=sys.stderr)


@store.command()
def seed() -> None:
    """Fill the store from the pulled tables, so that a fresh clone recomputes nothing."""
    from spatialgen.captions.filter import filter_stage
    from spatialgen.captions.publish import seed_answers as seed_filter
    from spatialgen.encode.seed import seed_answers as seed_encode
    from spatialgen.fetch.seed import seed_answers as seed_download
    from spatialgen.fetch.stage import download_stage
    from spatialgen.grounding.seed import seed_answers as seed_annotate
    from spatialgen.grounding.stage import annotate_stage
    from spatialgen.lake.lake import Lake
    from spatialgen.lake.upkeep import is_current, seed_store
    from spatialgen.params import load_params
    from spatialgen.project import find_root

    os.chdir(find_root())  # params name paths from there
    lake, params = Lake("lake"), load_params()
    print_table(seed_store(lake), Format.table)
    if lake["captions"].path.exists():
        if is_current("filter", params.filter.model):
            added = seed_filter(lake, filter_stage(params.filter, params.compute))
            print(f"filter: {added} answers added")
        else:
            print("filter: no answers added, for they may be of another model, prompt or code")
    if lake["downloads"].path.exists() and lake["images"].path.exists():
        if is_current("download"):
            added = seed_download(lake, download_stage(params.download, params.compute))
            print(f"download: {added} answers added")
        else:
            print("download: no answers added, for they may be of other code or captions")
    if lake["boxes"].path.exists() and lake["images"].path.exists():
        if is_current("annotate", params.annotate.model):
            stage = annotate_stage(params.annotate, params.compute, lake.path("images"))
            added = seed_annotate(lake, stage, params.annotate)
            print(f"annotate: {added} answers added")
        else:
            print("annotate: no answers added, for they may be of another model, prompt or code")
    if lake["latents"].path.exists() and lake["prompts"].path.exists():
        if is_current("encode", params.encode.model):
            print(f"encode: {seed_encode(lake, params)} answers added")
        else:
            print("encode: no answers added, for they may be of another model or code")


@store.command()
def gc(
    dry_run: Annotated[bool, typer.Option(help="only say what would go")] = False,
    min_age_hours: Annotated[
        float, typer.Option(min=0, help="keep what is younger; a running stage needs it")
    ] = 1.0,
) -> None:
    """Remove published versions that no manifest in git history names, and what kills left."""
    from spatialgen.lake.lake import Lake
    from spatialgen.lake.upkeep import collect_garbage

    removed = collect_garbage(Lake(), min_age_s=min_age_hours * 3600, dry_run=dry_run)
    print_table(removed, Format.table)


def _read_query(query: str) -> str:
    from spatialgen.errors import QueryError

    if not query.endswith(".sql"):
        return query
    path = Path(query)
    if not path.is_file():
        known = ", ".join(map(str, sorted(Path("queries").glob("**/*.sql")))) or "none here"
        raise QueryError(f"{query} does not exist; queries: {known}")
    return path.read_text(encoding="utf-8")


def _parse_params(pairs: list[str]) -> dict[str, object]:
    from spatialgen.errors import QueryError
    from spatialgen.lake.sql import parse_value

    params = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise QueryError(f"-p {pair} has no name=value; write it like -p limit=20")
        params[name] = parse_value(value)
    return params
