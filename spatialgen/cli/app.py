"""Commands over the lake. Each loads what it needs itself, so that --help and errors stay quick."""

from pathlib import Path
from typing import Annotated

import typer

from spatialgen.cli.output import Format, print_table

app = typer.Typer(
    help="A versioned data lake for spatially controlled Chinese image generation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
store = typer.Typer(help="Look after the store behind the tables.", no_args_is_help=True)
app.add_typer(store, name="store")


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
    from spatialgen.lake.history import Revision
    from spatialgen.lake.lake import Lake
    from spatialgen.lake.sql import run_query

    lake = Lake()
    snapshot = lake if at is None else Revision(lake, at)
    for table in run_query(snapshot, _read_query(query), _parse_params(param or [])):
        print_table(table, format)


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


@store.command()
def seed() -> None:
    """Fill the store from the pulled tables, so that a fresh clone recomputes nothing."""
    from spatialgen.lake.lake import Lake
    from spatialgen.lake.upkeep import seed_store

    print_table(seed_store(Lake()), Format.table)


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
