"""2 GB of pictures published under DVC, then 1 % more: bytes written, disk used, what reruns.

python -m tests.benchmarks.blobs      # reads the photographs of $SPATIALGEN_TEST_DATA
"""

import resource
import subprocess
import sys
from pathlib import Path

from spatialgen.lake.links import files_under
from tests.benchmarks.harness import report, seconds, workspace
from tests.conftest import DATA, Project, picture_table

TOTAL_BYTES = 2_000_000_000
STAGES = """
stages:
  grow:
    cmd: python -m tests.benchmarks.blobs grow
    deps: [count.txt]
    outs: [lake/images.lance]
    metrics: [lake/images.json: {cache: false}]
  reader:
    cmd: echo read > read.txt
    deps: [lake/images.json]
    outs: [read.txt]
"""
BATCH = 500


def grow() -> None:
    """The stage: bring the store up to count.txt pictures, then publish them."""
    from spatialgen.lake.lake import Lake
    from spatialgen.lake.schemas import IMAGES

    photos = [path.read_bytes() for path in sorted((DATA / "photos").glob("*.jpg"))]
    lake = Lake("lake")
    images = lake.stored("images", IMAGES.schema)
    count = int(Path("count.txt").read_text())
    for start in range(images.count_rows(), count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        # Trailing bytes behind the end of a JPEG make each picture another one.
        pictures = [photos[n % len(photos)] + n.to_bytes(8, "big") for n in numbers]
        images.append(picture_table(pictures))
    stored = images.open()
    assert stored
    lake.publish_blobs(IMAGES, stored, stored.to_table(columns=["sha256"]))


def disk_bytes(folder: Path) -> int:
    """Bytes on disk; a file with several links counts once."""
    sizes = {
        path.stat().st_ino: path.stat().st_blocks * 512
        for path in files_under(folder)
        if ".git" not in path.parts
    }
    return sum(sizes.values())


def written_blocks() -> int:
    """Blocks of 512 bytes that finished child processes have written, by the kernel's account."""
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_oublock


def main() -> None:
    photos = [path.stat().st_size for path in (DATA / "photos").glob("*.jpg")]
    if not photos:
        sys.exit(f"no photographs in {DATA / 'photos'}; set SPATIALGEN_TEST_DATA")
    mean = sum(photos) / len(photos)
    count = round(TOTAL_BYTES / mean)
    with workspace() as folder:
        project = Project(folder)
        env = {"PYTHONPATH": str(Path.cwd()), "SPATIALGEN_TEST_DATA": str(DATA.resolve())}
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
        project.run("dvc", "init", "-q")
        project.run("dvc", "config", "cache.type", "hardlink,copy")
        (folder / "dvc.yaml").write_text(STAGES)
        (folder / ".dvcignore").write_text(".lake\n")

        def repro(pictures: int, *flags: str) -> float:
            (folder / "count.txt").write_text(str(pictures))
            return seconds(lambda: project.run("dvc", "repro", *flags, env=env))

        first_s = repro(count)
        disk = disk_bytes(folder)
        again_s = repro(count, "-f", "grow")
        unchanged = "Stage 'reader' didn't change" in project.run("dvc", "repro", env=env).stdout
        before, blocks = disk_bytes(folder), written_blocks()
        more = round(count * 0.01)
        grown_s = repro(count + more)
        new_bytes = more * mean
        written = (written_blocks() - blocks) * 512 / new_bytes
        growth = (disk_bytes(folder) - before) / new_bytes
    share = disk / (count * mean)
    report(
        "blobs",
        {
            "pictures": count,
            "gb": count * mean / 1e9,
            "disk_over_pictures": share,
            "written_over_new": written,
            "disk_growth_over_new": growth,
            "first_s": first_s,
            "plus_1_percent_s": grown_s,
            "again_s": again_s,
        },
        {
            "written <= 3 x the new bytes": 0 < max(written, growth) <= 3,
            "disk <= 1.1 x the pictures": share <= 1.1,
            "downstream didn't change": unchanged,
        },
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["grow"]:
        grow()
    else:
        main()
