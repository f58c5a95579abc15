"""Run a command within reach of the sample's image server.

python -m spatialgen.sample.serve python -m pipeline.download
python -m spatialgen.sample.serve spatialgen probe

The server listens on a free port of 127.0.0.1, and the command gets one more argument,
`-S compute.connect_to=...`, that maps the sample's host to it. So experiments that run at the same
time have a server each, and a list of other URLs does not notice.
"""

import json
import os
import subprocess
import sys

from spatialgen.errors import InputError
from spatialgen.params import load_params
from spatialgen.project import guard
from spatialgen.sample.urls import HOST

SAMPLE = "data/sample"  # where stage `sample` writes


def main() -> None:
    """Start the server, then become the command.

    The server lives as long as the pipe to its stdin, which the command holds: nothing is left
    behind when the command is killed, and the command never runs without its server.
    """
    command = sys.argv[1:]
    if not command:
        raise InputError("no command to run; write one behind python -m spatialgen.sample.serve")
    connect_to = load_params().compute.connect_to
    server = subprocess.Popen(
        [sys.executable, "-m", "spatialgen.sample.server", SAMPLE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is the command's business
    )
    assert server.stdin
    assert server.stdout
    port = server.stdout.readline().strip()
    if not port:
        raise InputError("the sample's image server did not start; its error is above")
    os.set_inheritable(server.stdin.fileno(), True)
    mapping = json.dumps({**connect_to, HOST: f"127.0.0.1:{port}"})
    try:
        os.execvp(command[0], [*command, "-S", f"compute.connect_to={mapping}"])
    except FileNotFoundError:
        raise InputError(f"{command[0]} is no command that can be run here") from None


if __name__ == "__main__":
    guard(main)
