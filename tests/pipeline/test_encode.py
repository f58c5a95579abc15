"""Stage encode as its users drive it: its numbers, what is computed again, kills, mistakes."""

import json
import time
from pathlib import Path

import lance
import pytest

from spatialgen.encode.tables import Latents, Prompts
from tests.conftest import Complaint, Project

COMPUTED = """
select rows_computed as n from runs where stage = 'encode_{}' order by started desc limit 1
"""
TABLES = ("latents", "prompts")


def computed(project: Project) -> list[int]:
    """Pictures and texts that the last run computed."""
    return [project.number(COMPUTED.format(each)) for each in ("pictures", "texts")]


def manifests(project: Project) -> list[str]:
    return [project.manifest(name) for name in TABLES]


def test_every_boxed_row_has_its_latents_and_its_words(annotated: Project) -> None:
    metrics = json.loads((annotated.root / "metrics" / "encode.json").read_text())
    pictures = annotated.number("select count(distinct sha256) as n from boxes")
    assert metrics["pictures"] == pictures == sum(metrics["buckets"].values()) > 100
    assert (metrics["failed"], metrics["failed_texts"]) == (0, 0)
    assert metrics["latent_bytes_per_row"] == pytest.approx(4096, rel=0.2)
    assert metrics["full_prompt_bytes_per_row"] > 8 * metrics["prompt_bytes_per_row"]
    lake = annotated.lake()
    rows = annotated.query("select sha256, caption from boxes join captions using (row_id)")
    latents = Latents(lake.path("latents")).take([str(row["sha256"]) for row in rows])
    names = annotated.query("select distinct unnest(objects).name as name from boxes")
    texts = ["", *(str(row["caption"]) for row in rows), *(str(row["name"]) for row in names)]
    prompts = Prompts(lake.path("prompts")).take(texts)
    assert (len(latents), len(prompts)) == (len(rows), len(texts))
    assert {each.expand().shape for each in prompts} == {(256, 128)}


def test_other_settings_compute_what_depends_on_them_and_come_back(annotated: Project) -> None:
    before = manifests(annotated)
    annotated.run("dvc", "exp", "run", "encode", "-S", "encode.mirrored=false")
    pictures, texts = computed(annotated)
    assert (pictures > 100, texts) == (True, 0), "the texts are there, and fewer"
    annotated.run("dvc", "repro", "encode", "-f", "-s")
    assert computed(annotated) == [0, 0]
    annotated.back("encode")
    assert manifests(annotated) == before


def test_killed_it_goes_on_and_ends_like_the_clean_run(annotated: Project) -> None:
    clean, store = manifests(annotated), annotated.root / ".lake" / "store"
    names = ("encode_pictures", "encode_texts", *TABLES)
    for name in names:
        (store / f"{name}.lance").rename(annotated.root / f"{name}.kept")
    for awaited in ("encode_pictures", "encode_texts"):
        process = annotated.start("dvc", "repro", "-f", "-s", "encode")
        deadline = time.monotonic() + 120
        while not stored(store / f"{awaited}.lance"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        annotated.kill(process)
    annotated.run("dvc", "repro", "-f", "-s", "encode")
    assert manifests(annotated) == clean, "digest and all"
    assert computed(annotated)[0] == 0
    assert computed(annotated)[1] < json.loads(clean[1])["rows"]
    for name in names[:2]:
        text = f"select count(*) - count(distinct key) as n from store.{name}"
        assert annotated.number(text) == 0
    for name in names:
        (annotated.root / f"{name}.kept").rename(annotated.root / ".lake" / f"{name}.kept")
    annotated.back("encode")


def stored(memo: Path) -> int:
    """Answers that are committed."""
    try:
        return int(lance.dataset(str(memo)).count_rows())
    except (OSError, ValueError):
        return 0


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("model=/no/such/model", "neither a folder nor a hub id"),
        ("model=spatialgen/sample/qwen2-small", "a Kolors or SDXL pipeline with model_index.json"),
        ("model=Kwai-Kolors/Kolors-diffusers", "-S encode.revision=<commit>"),
        ("step=24", "encode.step = 24 is no multiple of the 16 pixels"),
        ("resolution=90", "encode.resolution = 90 has no bucket"),
        ("max_aspect=0.5", "encode.max_aspect = 0.5 is wrong"),
    ],
)
def test_mistakes_stop_the_stage_with_one_sentence(
    annotated: Project, setting: str, words: str, complaint: Complaint
) -> None:
    key, value = setting.split("=", 1)
    annotated.set_params(**{f"encode__{key}": value})
    if key == "resolution":
        annotated.set_params(encode__step=64, encode__max_aspect=1.2)
    try:
        assert words in complaint(annotated, "encode")
    finally:
        annotated.run("git", "checkout", "-q", "params.yaml")
