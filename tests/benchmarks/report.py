"""The report on 20,000 distinct pictures: seconds, size of the page, peak memory.

    python -m tests.benchmarks.report      # reads the photographs of $SPATIALGEN_TEST_DATA

Photographs of up to 512 pixels with the captions and boxes of the sample world, in a lake of its
own; 30 checks warn, with 50 rows each. The stage runs as `dvc repro` starts it.
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image

from spatialgen.sample.world.view import web_view
from tests.benchmarks.harness import in_process, report, workspace
from tests.conftest import DATA
from tests.report.lakes import Row, make_lake

ROWS = 20_000
SITUATIONS = 2000  # distinct captions with their boxes
CHECKS, OFFENDERS = 30, 50
SIDE = 512
STAGE = """
import os, sys
from pipeline.report import main
os.chdir(sys.argv[1])
main()
"""


def photographs() -> list[tuple[bytes, tuple[int, int]]]:
    """JPEG files and their sizes."""
    found = []
    for path in sorted((DATA / "photos").glob("*.jpg")):
        with Image.open(path) as photo:
            small = photo.convert("RGB")
        small.thumbnail((SIDE, SIDE))
        file = io.BytesIO()
        small.save(file, "JPEG", quality=85)
        found.append((file.getvalue(), small.size))
    return found or sys.exit(f"no photographs in {DATA / 'photos'}; set SPATIALGEN_TEST_DATA")


def rows() -> list[Row]:
    """Each with a picture of its own: bytes behind the end of a JPEG make another file."""
    photos = photographs()
    views = [web_view("corpus", 1, index, 1.0) for index in range(SITUATIONS)]
    known = [(view.situation.caption, view.truth()) for view in views]
    made = []
    for number in range(ROWS):
        caption, truth = known[number % SITUATIONS]
        picture, size = photos[number % len(photos)]
        objects = [{"name": each["name"], "bbox": each["bbox"]} for each in truth["objects"]]
        host = f"h{number % 500}"
        made.append({"url": f"http://{host}/{number}", "host": host, "caption": caption,
                     "spatial_type": truth["spatial_type"], "objects": objects, "size": size,
                     "picture": picture + number.to_bytes(4, "big")})  # fmt: skip
    return made


def write_checks(folder: Path, row_ids: list[int]) -> None:
    """As stage check leaves them."""
    names = [f"check_{number}" for number in range(CHECKS)]
    header = "check,state,value,limit,question,message\n"
    lines = (f"{name},warned,{OFFENDERS},0,Is it so?,it is not\n" for name in names)
    (folder / "checks.csv").write_text(header + "".join(lines), encoding="utf-8")
    found = (
        f"{name},{row_ids[place * OFFENDERS + number]},{{}}\n"
        for place, name in enumerate(names)
        for number in range(OFFENDERS)
    )
    (folder / "offenders.csv").write_text("check,row_id,row\n" + "".join(found), encoding="utf-8")


def main() -> None:
    with workspace() as folder:
        lake = make_lake(folder, made := rows())
        write_checks(folder / "metrics", [row["row_id"] for row in made])
        shutil.copytree("queries", folder / "queries")
        for name in ("dvc.yaml", "params.yaml"):
            shutil.copy(name, folder)
        stored_mb = lake["images"].n_bytes() / 1e6
        taken = in_process(STAGE, folder)
        page = (folder / "report" / "index.html").read_text(encoding="utf-8")
        plots = sorted(path.stem for path in (folder / "plots").glob("*.csv"))
    size = len(page.encode()) / 1e6
    report(
        "report",
        {
            "pictures": ROWS,
            "pictures_mb": stored_mb,
            "shown": page.count("<img "),
            "seconds": taken["s"],
            "cpu_s": taken["cpu_s"],
            "page_mb": size,
            "peak_mb": taken["peak_mb"],
            "plots": len(plots),
        },
        {"seconds <= 60": taken["s"] <= 60, "page_mb <= 15": size <= 15},
    )


if __name__ == "__main__":
    main()
