"""The sheet and the plots of stage evaluate."""

import numpy as np
from PIL import Image

from spatialgen.drawing import MARGIN, SIDE
from spatialgen.evaluation.asked import held_out
from spatialgen.evaluation.painted import Painted
from spatialgen.evaluation.sheets import SHOWN, WIDEST, write_sheet, write_sweeps
from spatialgen.evaluation.stage import as_png
from spatialgen.lake.schemas import GENERATIONS
from tests.evaluation.lakes import evaluate_params, fill
from tests.tables import publish

RED, BLUE = (220, 20, 20), (20, 20, 220)


def generation(number, case, condition, colour):
    verdict = dict.fromkeys(("visor", "geneval", "sides", "mig_hits"), 0)
    layout = [{"name": each.name, "bbox": [*each.bbox], "score": None} for each in case.wanted]
    return {
        "generation_id": number, "row_id": case.row_id, "condition": condition, "seed": 0,
        "caption": case.example.caption, "layout": layout if condition == "on" else [],
        "wanted": layout, "image": as_png(Image.new("RGB", (64, 64), colour)), "height": 64,
        "width": 64, "absent": "", "annotator": [], "detector": [], "by_annotator": verdict,
        "by_detector": verdict, "seconds": 0.1, "painter": "{}",
    }  # fmt: skip


def middles(sheet, columns, height):
    """The colour of the lower part of each picture in the first row, but for its boxes."""
    pixels = np.asarray(sheet.convert("RGB"), np.int16)
    found = []
    for column in range(columns):
        left = MARGIN + column * (SIDE + MARGIN)
        found.append(np.median(pixels[MARGIN : MARGIN + height, left : left + SIDE], (0, 1)))
    return found


def test_conditions_stand_side_by_side_with_their_boxes(lake, tmp_path):
    fill(lake, sides=8)
    cases, _ = held_out(lake, evaluate_params(captions=8), frozenset())
    rows = [
        generation(2 * n + (colour == BLUE), case, condition, colour)
        for n, case in enumerate(cases)
        for condition, colour in (("off", RED), ("on", BLUE))
    ]
    publish(lake, GENERATIONS, rows)
    painted = {
        condition: [
            Painted({"row_id": r["row_id"]}, r) for r in rows if r["condition"] == condition
        ]
        for condition in ("on", "off")
    }
    painted["shuffled"] = [Painted({"row_id": cases[0].row_id}, None)]
    write_sheet(lake, cases, painted, tmp_path / "plots" / "sheet.jpg")
    with Image.open(tmp_path / "plots" / "sheet.jpg") as sheet:
        assert sheet.width == WIDEST
        whole = sheet.resize((4 * (SIDE + MARGIN) + MARGIN, round(sheet.height * 1576 / WIDEST)))
        assert SHOWN * SIDE < whole.height < SHOWN * (SIDE + 100)
        true, off, on, failed = middles(whole, 4, SIDE)
        edges = np.asarray(whole, np.int16)[MARGIN : MARGIN + SIDE]
    assert np.abs(off - RED).max() < 12
    assert np.abs(on - BLUE).max() < 12
    assert failed.min() > 240
    assert np.abs(true - off).max() > 12
    bare = edges[:, MARGIN + SIDE + MARGIN : MARGIN + 2 * SIDE]
    boxed = edges[:, MARGIN + 2 * (SIDE + MARGIN) : MARGIN + 2 * (SIDE + MARGIN) + SIDE - MARGIN]
    assert boxed.std((0, 1)).max() > 3 * bare.std((0, 1)).max(), "boxes are drawn"


def test_sweeps_become_tables(tmp_path):
    def point(value):
        figures = {name: {"value": value} for name in ("geneval", "mig_miou")}
        return {"annotator": {}, "detector": figures, "kid": {"value": None}}

    sweeps = {"scale": {"0.5": point(0.2), "1": point(0.4)}, "beta": {"1": point(0.4)}}
    write_sweeps({"sweeps": sweeps}, tmp_path / "evaluate")
    text = (tmp_path / "evaluate" / "scale.csv").read_text()
    assert text == "scale,geneval,mig_miou,kid\n0.5,0.2,0.2,\n1,0.4,0.4,\n"
    assert (tmp_path / "evaluate" / "beta.csv").read_text().startswith("beta,geneval")
