"""What the small text model is trained on, its files, and how it judges plain captions."""

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from spatialgen.captions.classifier import CLASSES, CaptionClassifier
from spatialgen.captions.prompt import read_prompt
from spatialgen.sample import train_text
from spatialgen.sample.mix import caption_mix, sources
from spatialgen.sample.mix.spatial_rules import label_caption
from spatialgen.sample.training import Settings, train

SHIPPED = Path(train_text.__file__).with_name("qwen2-small")
CAPTIONS = [
    "猫在桌子下面",
    "草地上的狗",
    "两个人在跳舞",
    "一个男人坐在长椅上",
    "手里拿着书的女人",
    "上海旅游攻略",
]
WORDS = sources.Words(
    nouns=["苹果", "花瓶"],
    fillers=["新闻", "价格"],
    weights=[1.0, 2.0],
    hard=["下载", "上海"],
    hard_weights=[1.0, 1.0],
    verbs=["学习"],
)
TINY = Settings(steps=3, batch=4, every=1)
SIZES = {
    **train_text.SIZES, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
}  # fmt: skip


def start(captions: Sequence[str] = CAPTIONS) -> train_text.TextTraining:
    samples = [(caption, label_caption(caption)) for caption in captions]
    mix = caption_mix.CaptionMix(samples, WORDS)
    prompt = read_prompt(train_text.RUBRIC)
    return train_text.TextTraining(mix, samples, TINY, prompt, SIZES)


def test_published_folder_has_qwen2s_layout_and_loads(tmp_path):
    train(start(), tmp_path, resume=False, quiet=True)
    folder = tmp_path / "model"
    assert {path.name for path in folder.iterdir()} == {
        *["config.json", "generation_config.json", "model.safetensors", "chat_template.jinja"],
        *["tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"],
    }
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o644 for path in folder.iterdir())
    assert judge(folder, CAPTIONS)


def test_batches_follow_from_seed_and_step_alone():
    first, second = start(), start()
    second.batch(9)
    assert first.batch(2) == second.batch(2)
    assert first.batch(2) != first.batch(3)


def test_near_copies_of_excluded_captions_are_left_out(tmp_path):
    path = tmp_path / "captions.txt"
    path.write_text("1\t一只黑色的猫躺在木头桌子上。\n2\t两个人在海边放风筝\n", encoding="utf-8")
    kept = sources.read_captions(path, ["一只黑色的猫 躺在木桌子上"])
    assert kept == [("两个人在海边放风筝", "weak")]


def test_words_of_the_dictionary_are_sorted_by_use():
    words = sources.load_words()
    assert {"上海", "下载", "前列腺"} <= set(words.hard)
    assert len(words.nouns) > 1000
    assert {"新闻", "价格"} <= set(words.fillers)


def judge(folder: os.PathLike[str] | str, captions: list[str]) -> list[str]:
    classifier = CaptionClassifier.from_pretrained(
        str(folder),
        prompt=read_prompt(train_text.RUBRIC),
        labels=train_text.LABELS,
        device="cpu",
    )
    return [CLASSES[i] for i in classifier.probabilities(classifier.tokenise(captions)).argmax(1)]


def test_shipped_model_judges_plain_captions():
    expected = {
        "桌子上有一个苹果": "strong",
        "一只猫坐在椅子上": "strong",
        "左边是一只狗，右边是一辆车": "strong",
        "女孩站在汽车旁边": "strong",
        "一群人围着桌子吃饭": "strong",
        "草地上奔跑的小狗": "weak",
        "孩子们在海边玩耍": "weak",
        "一个男人手里拿着手机": "weak",
        "在街道上行走的人": "weak",
        "上海旅游攻略大全": "none",
        "手机软件免费下载": "none",
        "价格在500元左右的手机": "none",
        "两个人在跳舞": "none",
    }
    assert dict(zip(expected, judge(SHIPPED, list(expected)), strict=True)) == expected


def test_shipped_model_is_small_and_readable():
    files = list(SHIPPED.iterdir())
    assert sum(path.stat().st_size for path in files) < 4_000_000
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o444 == 0o444 for path in files)
