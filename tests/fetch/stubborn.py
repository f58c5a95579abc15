"""Stage download as a process that can be killed: FOLDER PORT, in the lake that is there."""

import sys
from pathlib import Path

from spatialgen.lake.lake import Lake
from spatialgen.project import guard
from spatialgen.rows import engine
from tests.fetch.lists import download, params


def main() -> None:
    """Commit several times a second, so that a kill has something to spare."""
    engine.COMMIT_SECONDS = 0.2
    folder = Path(sys.argv[1])
    lake = Lake(folder / "lake", store=folder / ".lake")
    print(vars(download(lake, int(sys.argv[2]), params(retries=2), per_host=4, concurrency=4)))


if __name__ == "__main__":
    guard(main)
