"""The page: what it shows of a lake, what it does not let through, and how a browser sees it."""

import base64
import html
import io
import math
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from dvclive import Live
from PIL import Image

from spatialgen.errors import InputError
from spatialgen.evaluation.asked import OFF, ON, PLANNED, RECONSTRUCTION, SHUFFLED
from spatialgen.evaluation.figures import JUDGES as FIGURES_BY
from spatialgen.evaluation.sheets import CONDITIONS as SHEET
from spatialgen.lake.lake import Lake
from spatialgen.lake.schemas import CANDIDATES, CAPTIONS
from spatialgen.params import Params, load_params
from spatialgen.report.answers import Answers
from spatialgen.report.figures import percent
from spatialgen.report.generator import CONDITIONS, JUDGES, PAINTED, read_generator
from spatialgen.report.page import write_page
from tests.conftest import REPOSITORY
from tests.report.lakes import drawn_rows, keep_evaluation, make_lake
from tests.tables import publish

SECTIONS = ["funnel", "classes", "checks", "relations", "boxes", "captions", "pictures",
            "downloads", "splits", "measured", "samples", "training", "generator",
            "card"]  # fmt: skip
HOSTILE = "<script>alert(1)</script>左边是猫"
ROWS = 25


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """A lake whose captions, names and hosts are hostile, with checks, a training and pictures by
    the generator."""
    rows = drawn_rows(ROWS)
    rows[0] |= {"caption": HOSTILE, "spatial_type": "strong", "absent": ["<script>狗"]}
    rows[0]["objects"] = [{"name": "<script>猫", "bbox": [0.7, 0.1, 0.9, 0.4]}]
    rows[1] |= {"host": '"><script>host', "url": "http://x/1"}
    rows[2] |= {"caption": "猫在狗的左边", "spatial_type": "strong"}
    rows[2]["objects"] = [
        {"name": "猫", "bbox": [0.6, 0.1, 0.9, 0.4]},
        {"name": "狗", "bbox": [0.1, 0.1, 0.4, 0.4]},
    ]
    rows[3]["picture"] = b"no picture at all"
    made = make_lake(tmp_path_factory.mktemp("report"), rows)
    metrics, plots = made.root.parent / "metrics", made.root.parent / "plots"
    (metrics / "checks.csv").write_text(
        "check,state,value,limit,question,message\n"
        "balance,passed,0.5,0.9,Is no class alone?,fine\n"
        "prices,warned,3,0,Does no caption hold a price?,3 captions hold a price <script>\n"
        "labels,failed,7,0,Has every row a label?,7 rows have none\n",
        encoding="utf-8",
    )
    (metrics / "offenders.csv").write_text(
        "check,row_id,row\n"
        + "".join(f'prices,{row["row_id"]},"{{}}"\n' for row in rows[4:14])
        + 'prices,,"{""caption"": ""<script>元""}"\n',
        encoding="utf-8",
    )
    keep_evaluation(made.root.parent, Image.new("RGB", (2400, 1800), "red"))
    with Live(str(plots / "train_planner"), save_dvc_exp=False, dvcyaml=None, report=None) as live:
        for live.step, (train, val) in enumerate([(2.0, 2.5), (1.0, math.nan), (math.nan, 1.5)]):
            live.log_metric("train/loss", train)
            live.log_metric("val/loss", val)
    return made


@pytest.fixture(scope="module")
def params() -> Params:
    """The shipped ones, but every row of a class is shown."""
    return load_params(REPOSITORY / "params.yaml", {"report.pictures_per_class": 200})


def written(lake: Lake, params: Params, out: Path) -> str:
    write_page(lake, params, Answers(lake, REPOSITORY / "queries"), out)
    return out.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def path(lake: Lake, params: Params) -> Path:
    out = lake.root.parent / "report" / "index.html"
    written(lake, params, out)
    return out


@pytest.fixture(scope="module")
def page(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def section(page: str, name: str) -> str:
    """The part of the page from this section's heading to the next one."""
    return page.split(f'<h2 id="{name}">')[1].split("<h2 ")[0]


def test_every_section_is_there_and_in_the_contents(page: str) -> None:
    assert re.findall(r'<h2 id="(\w+)">', page) == SECTIONS
    assert re.findall(r'<li><a href="#(\w+)">', page) == SECTIONS
    for query in ("funnel", "class_shares", "agreement", "box_centres", "download_reasons"):
        assert f"<code>queries/{query}.sql</code>" in page, "a figure names its query"


def test_the_numbers_are_those_of_the_tables(lake: Lake, page: str) -> None:
    assert f'<td class="n">{ROWS + 1}</td>' in section(page, "funnel")
    (tested, holds) = (
        lake.sql(
            "select count(r.agrees) as n, count(*) filter (r.agrees) as m "
            "from (select unnest(relations) as r from boxes)"
        )
        .to_pylist()[0]
        .values()
    )
    counts = re.findall(r'title="holds: (\d+)"', section(page, "relations"))
    assert 0 < holds < tested
    assert sum(map(int, counts)) == holds
    cells = re.findall(r"<title>(\d+) boxes</title>", section(page, "boxes"))
    boxes = lake.sql("select sum(len(objects)) as n from boxes")["n"][0].as_py()
    assert sum(map(int, cells)) == boxes
    assert ">gone<" in re.sub(r"\s", "", section(page, "downloads"))


def test_text_of_strangers_is_text(page: str) -> None:
    assert "<script" not in page
    assert page.count("&lt;script&gt;") >= 6
    assert "&lt;script&gt;alert(1)&lt;/script&gt;左边是猫" in section(page, "samples")
    assert "&lt;script&gt;host" in section(page, "downloads")
    assert "&lt;script&gt;猫" in section(page, "boxes")


def test_samples_show_picture_boxes_caption_and_verdict(page: str) -> None:
    failing = section(page, "samples").split("positions that fail")[1]
    assert "猫在狗的左边" in failing
    assert 'class="chip fails" title="fails" lang="zh">猫 left 狗<' in failing
    assert failing.count("data:image/jpeg;base64,") == failing.count('class="tile"') >= 1
    assert re.search(r'<text x="[\d.]+" y="[\d.]+" fill="#\w{6}">猫</text>', failing)
    everything = section(page, "samples")
    assert "The picture cannot be read" in everything, "a damaged one is said to be so"


def test_checks_show_state_and_what_they_found(page: str) -> None:
    checks = section(page, "checks")
    assert [int(n) for n in re.findall(r">(\d+) (?:passed|warned|failed)<", checks)] == [1, 1, 1]
    prices = checks.split("<h3>")[1]
    assert prices.count('class="tile"') + prices.count("<pre") == 6, "report.pictures_per_check"
    assert "3 captions hold a price &lt;script&gt;" in prices
    assert "Check labels failed: 7 rows have none" in section(page, "card")


def test_a_training_is_drawn_with_its_pairs_in_one_panel(page: str) -> None:
    training = section(page, "training")
    assert re.findall(r"<h4>(.+?)</h4>", training) == ["loss"]
    assert re.findall(r"(\w+/loss) <b>(.+?)</b>", training) == [
        ("train/loss", "1"),
        ("val/loss", "1.5"),
    ]
    assert training.count("<polyline") == 2


def cells(page: str, figure: str, judge: str = "") -> list[str]:
    """The row of a figure, by condition, with its n."""
    rows = section(page, "generator").split(f">{figure}</td>")[1].split("</tr>")
    row = next(row for row in rows if f"<td>{judge}</td>" in row)
    return [
        re.sub(r"<.*?>", " ", cell).strip() for cell in re.findall(r'<td class="n">(.*?)</td>', row)
    ]


def test_pictures_by_the_generator_are_measured_side_by_side(page: str) -> None:
    shown = section(page, "generator")
    names = ["off", "on", "planned", "shuffled", "reconstruction", "chance"]
    assert re.findall(r'<th class="n">(\w+)</th>', shown)[:7] == [*names, "n"]
    assert re.findall(r"<dt>(\w+)</dt>", shown) == names
    assert cells(page, "stated sides that hold (geneval)", "annotator") == [
        "25.0 % 20.0 to 30.0 %", "87.5 % 82.5 to 92.5 %", "75.0 % 70.0 to 80.0 %",
        "12.5 % 7.5 to 17.5 %", "93.8 % 88.8 to 98.8 %", "18.8 % 13.8 to 23.8 %", "193–200",
    ]  # fmt: skip
    assert cells(page, "mean IoU, misses 0", "detector")[1] == "0.812 0.762 to 0.863"
    assert cells(page, "KID")[:2] == ["-0.0010 -0.0050 to 0.0030", "0.0200 0.0160 to 0.0240"]
    assert cells(page, "KID")[4:] == ["not measured", "–", "150"]
    assert cells(page, "FID") == [*["not measured"] * 5, "–", "–"]
    assert cells(page, "seconds per picture") == [*["0.432"] * 5, "–", "–"]
    assert "1,793 pictures of 200 held-out captions" in shown
    assert "evaluate.shuffled.annotator.given_hit" in shown, "all figures are there"
    assert "evaluate." not in section(page, "measured")


def test_the_sheet_is_small_on_the_page_and_its_columns_are_named(page: str) -> None:
    shown = section(page, "generator")
    (text,) = re.findall(r'src="data:image/jpeg;base64,(.+?)"', shown)
    with Image.open(io.BytesIO(base64.b64decode(text))) as sheet:
        assert sheet.size == (1200, 900)
        assert np.allclose(np.asarray(sheet), (255, 0, 0), atol=3)
    columns = ["true picture", "off", "on", "planned", "shuffled"]
    assert re.findall(r"<span>(.+?)</span>", shown) == columns


def test_what_was_swept_is_drawn(page: str) -> None:
    shown = section(page, "generator")
    assert re.findall(r"<h4>(.+?)</h4>", shown) == ["scale"], "one value of beta is no curve"
    assert re.findall(r"(\w+) <b>(.+?)</b>", shown) == [("geneval", "0.75"), ("mig_miou", "0.75")]
    assert "over scale, with the last value; <code>plots/evaluate/scale.csv</code>" in shown


def test_conditions_that_were_not_painted_are_no_columns(tmp_path: Path) -> None:
    facts = {"metrics/evaluate.rows": 2, "metrics/evaluate.failed": 0,
             "metrics/evaluate.captions": 1, "metrics/evaluate.off.seconds": 0.5,
             "metrics/evaluate.on.seconds": 0.5, "metrics/evaluate.on.fid.value": 12.345,
             "metrics/evaluate.on.fid.n": 50}  # fmt: skip
    shown = read_generator(facts, tmp_path)
    assert shown
    assert [*shown.conditions] == ["off", "on"]
    assert (shown.sheet, shown.columns) == (None, ["true picture", "off", "on"])
    (line,) = shown.lines["FID"]
    assert [each.value for each in line.cells] == ["not measured", "12.35"]
    assert line.n == "50"


def test_the_conditions_are_those_of_the_stage() -> None:
    assert {*CONDITIONS} == {OFF, ON, PLANNED, SHUFFLED, RECONSTRUCTION, "chance"}
    assert PAINTED == SHEET
    assert JUDGES == FIGURES_BY


def test_the_card_says_what_is_known(page: str, lake: Lake, params: Params) -> None:
    card = section(page, "card")
    for table in lake.tables():
        assert lake[table].manifest.digest[:12] in card
    assert "MIT" in card
    assert params.filter.model in card
    assert "a group is in one of them" in card, "the schema's words define a column"
    assert "What the judge of captions gets wrong was not measured" in card
    assert "3.8 % of the URLs that were asked gave no picture" in card


def test_equal_tables_give_the_equal_page_and_a_seed_other_samples(
    lake: Lake, params: Params, page: str, tmp_path: Path
) -> None:
    assert written(lake, params, tmp_path / "again.html") == page
    report = params.report.model_copy(update={"seed": 7, "pictures_per_class": 3})
    other = written(lake, params.model_copy(update={"report": report}), tmp_path / "other.html")
    ids = [re.findall(r'row-id">(-?\d+)<', section(text, "samples")) for text in (page, other)]
    assert len(ids[1]) == 3 + 3 + 1
    assert ids[1][:3] != ids[0][:3]
    assert set(ids[1]) <= set(ids[0])
    assert section(other, "funnel") == section(page, "funnel")


def test_a_page_takes_the_place_of_one_that_the_cache_shares(
    lake: Lake, params: Params, page: str, tmp_path: Path
) -> None:
    cached = tmp_path / "cached"
    cached.write_text("old")
    (tmp_path / "index.html").hardlink_to(cached)
    assert written(lake, params, tmp_path / "index.html") == page
    assert cached.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2, "no scratch is left"


def test_a_page_before_anything_ran_says_what_makes_each_part(
    tmp_path: Path, params: Params
) -> None:
    lake = Lake(tmp_path / "lake", store=tmp_path / ".lake")
    page = written(lake, params, tmp_path / "report" / "index.html")
    shown = [name for name in SECTIONS if name != "generator"]
    assert re.findall(r'<h2 id="(\w+)">', page) == shown
    assert re.findall(r'<li><a href="#(\w+)">', page) == shown
    missing = {name: section(page, name) for name in shown}
    assert "Nothing to show" in missing["funnel"]
    assert "dvc repro filter" in missing["classes"]
    assert "dvc repro annotate" in missing["relations"]
    assert "dvc repro download" in missing["pictures"]
    assert "dvc repro split" in missing["splits"]
    assert "dvc repro check" in missing["checks"]
    assert "lake/captions does not exist: stage filter has not run" in missing["card"]


def test_a_page_of_the_first_stages_shows_them(tmp_path: Path, params: Params) -> None:
    lake = Lake(tmp_path / "lake", store=tmp_path / ".lake")
    row = {"row_id": 1, "url": "http://h/1", "caption": "左边是猫", "spatial_type": "strong"}
    publish(lake, CANDIDATES, [row])
    publish(lake, CAPTIONS, [row])
    page = written(lake, params, tmp_path / "report" / "index.html")
    assert "strong" in section(page, "captions")
    assert "histogram" in section(page, "captions")
    assert "dvc repro annotate" in section(page, "samples")


def test_a_query_that_is_gone_is_named(lake: Lake, params: Params, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"funnel\.sql is missing"):
        Answers(lake, tmp_path)["funnel"]


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (1, "100 %"), (0.00123, "0.12 %"), (0.0448, "4.5 %"), (None, "–")],
)
def test_shares_for_people(share: float | None, text: str) -> None:
    assert percent(share) == text


def chromium(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a headless browser; skips the test where there is none."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(names)}")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"]
    return subprocess.run(
        [found, *flags, *arguments], capture_output=True, text=True, check=True, timeout=120
    )


def test_a_browser_opens_it_without_complaint(path: Path, page: str) -> None:
    done = chromium("--window-size=1200,900", "--dump-dom", path.as_uri())
    assert re.findall(r'<h2 id="(\w+)">', done.stdout) == SECTIONS
    assert done.stdout.count("<figure") == page.count("<figure"), "it is well-formed"
    assert "CONSOLE" not in done.stderr, "neither errors nor requests that the policy refuses"
    assert not re.search(r'(?:src|href)="(?!data:image/jpeg;|#|https://github\.com/)', page)
    assert "url(" not in page


@pytest.mark.parametrize("width", [390, 1200])
def test_all_pictures_load_and_nothing_is_wider_than_the_screen(
    page: str, tmp_path: Path, width: int
) -> None:
    """A frame as wide as a phone or a desk holds the page, and a script around it measures."""
    around = tmp_path / "around.html"
    around.write_text(
        f"""<!doctype html><title>-</title>
        <iframe style="width:{width}px;height:800px;border:0" srcdoc="{html.escape(page)}"
         onload="const root = contentDocument.documentElement, window = contentWindow;
                 const loaded = [...root.querySelectorAll('img')].filter(i => i.naturalWidth);
                 document.title = [window.innerWidth, root.scrollWidth, loaded.length]">
        </iframe>""",
        encoding="utf-8",
    )
    done = chromium("--hide-scrollbars", "--dump-dom", around.as_uri())
    assert re.findall(r"<title>([\d,]+)</title>", done.stdout) == [
        f"{width},{width},{page.count('<img')}"
    ]
