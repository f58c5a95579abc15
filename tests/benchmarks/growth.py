"""50,000 downloaded pictures under DVC, then 1 % more: bytes that `dvc repro` writes.

python -m tests.benchmarks.growth      # photographs of $SPATIALGEN_TEST_DATA; 5 GB of disk
"""

import json
import shutil
import subprocess
from pathlib import Path

from tests.benchmarks.blobs import disk_bytes, written_blocks
from tests.benchmarks.download import HOST, REPOSITORY, server
from tests.benchmarks.harness import report, seconds, workspace
from tests.conftest import Project
from tests.fetch.lists import publish_captions

PICTURES, MORE = 50_000, 500
STAGE = """
stages:
  download:
    cmd: >-
      python -m pipeline.download -S 'compute.connect_to={{{host}: "127.0.0.1:{port}"}}'
      -S compute.per_host=512 -S download.min_side=1
    deps: [lake/captions.json]
    outs: [lake/images.lance, lake/downloads.lance]
    metrics:
      - lake/images.json: {{cache: false}}
      - lake/downloads.json: {{cache: false}}
      - metrics/download.json: {{cache: false}}
"""


def main() -> None:
    with workspace() as folder, server(folder) as (port, _):
        project = Project(folder / "project")
        project.root.mkdir()
        shutil.copy(REPOSITORY / "params.yaml", project.root)
        for command in (
            ("git", "init", "-q"),
            ("dvc", "init", "-q"),
            ("dvc", "config", "cache.type", "hardlink,copy"),
        ):
            project.run(*command)
        (project.root / ".dvcignore").write_text(".lake\n")
        (project.root / "dvc.yaml").write_text(STAGE.format(host=HOST, port=port))

        def repro(pictures: int) -> float:
            urls = [f"http://{HOST}/fast/{n}.jpg" for n in range(pictures)]
            publish_captions(project.lake(), [(url, "左边是猫") for url in urls])
            env = {"PYTHONPATH": str(REPOSITORY)}
            return seconds(lambda: project.run("dvc", "repro", env=env))

        def stored_bytes() -> int:
            path: Path = project.root / "metrics" / "download.json"
            return int(json.loads(path.read_text())["bytes"])

        first_s = repro(PICTURES)
        subprocess.run(["sync"], check=True)
        before, disk, blocks = stored_bytes(), disk_bytes(project.root), written_blocks()
        grown_s = repro(PICTURES + MORE)
        new_bytes = stored_bytes() - before
        written = (written_blocks() - blocks) * 512 / new_bytes
        growth = (disk_bytes(project.root) - disk) / new_bytes
    report(
        "growth",
        {
            "pictures": PICTURES,
            "gb": before / 1e9,
            "first_s": first_s,
            "plus_1_percent_s": grown_s,
            "written_over_new": written,
            "disk_growth_over_new": growth,
            "disk_over_pictures": disk / before,
        },
        {"written <= 3 x the new bytes": 0 < max(written, growth) <= 3},
    )


if __name__ == "__main__":
    main()
