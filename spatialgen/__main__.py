"""`python -m spatialgen` is the `spatialgen` command."""

from spatialgen.cli import main

main()
