"""The command line: `spatialgen --help`."""


def main() -> None:
    """Entry point of the `spatialgen` command."""
    from spatialgen.cli.app import app
    from spatialgen.project import guard

    guard(lambda: app(standalone_mode=True))
