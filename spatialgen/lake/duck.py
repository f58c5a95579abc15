"""DuckDB connections with bounded memory."""

from pathlib import Path

import duckdb

MEMORY = "1GB"  # for queries; a stage's scan takes compute.memory


def connect(
    *, memory: str = MEMORY, threads: int = 0, spill: Path | None = None
) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that may use `memory` and `threads` (0: all cores).

    What does not fit goes to files under `spill` (default: nowhere, DuckDB raises instead).
    Close it: DuckDB 2.0.0 complains at exit of connections left open.
    """
    connection = duckdb.connect()
    connection.execute("set enable_progress_bar = false")  # stages have their own
    connection.execute("set autoinstall_known_extensions = false")
    connection.execute("set python_enable_replacements = false")  # no table names from variables
    connection.execute("set preserve_insertion_order = false")  # order is asked for where it counts
    connection.execute("set memory_limit = ?", [memory])
    connection.execute("set temp_directory = ?", [str(spill) if spill else ""])
    if threads:
        connection.execute("set threads = ?", [threads])
    return connection
