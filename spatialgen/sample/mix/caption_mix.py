"""The labelled captions that the small text model learns from, an endless seeded stream.

Four sources, because none covers the web alone: real picture captions labelled by `spatial_rules`,
the sample grammar with its true types, constructions filled with many nouns (so that the model
learns the construction rather than the noun), and web noise, alone or around a caption.
"""

import random
from collections.abc import Sequence
from itertools import accumulate

from spatialgen.sample.mix.lexicon import BUILDINGS, SCENES, THINGS
from spatialgen.sample.mix.sources import POSITION_CHARACTERS, Sample, Words
from spatialgen.sample.mix.spatial_rules import label_caption
from spatialgen.sample.mix.words import (
    ACTS,
    AREAS,
    BODY_SPOTS,
    BRACKETS,
    BRANDS,
    COLOURS,
    COUNTS,
    FIELDS,
    FRONT,
    GAZES,
    HELD,
    MARKS,
    NEAR,
    OF_BUILDING,
    OF_FIELD,
    ON,
    PARTICLES,
    PEOPLE,
    PICTURES,
    PLACED,
    POSTURES,
    SHOPS,
    SIDE_OF_PERSON,
    SIDES,
    SPELLED_ACTS,
    STATES,
    STUFF,
    UNITS,
)
from spatialgen.sample.world.captions import make_situation
from spatialgen.sample.world.classes import SpatialType
from spatialgen.sample.world.noise import MAX_CHARACTERS, web_noise


class CaptionMix:
    """Draws samples; the same seed and sources give the same stream."""

    def __init__(self, captions: Sequence[Sample], words: Words) -> None:
        self.words = words
        self.things = sorted(word for word in THINGS if len(word) > 1) + words.nouns
        scenes = sorted(word for word in SCENES if len(word) > 1)
        self.scenes = [word for word in scenes if word[-1] not in POSITION_CHARACTERS]
        self.spots = [word for word in scenes if word[-1] in POSITION_CHARACTERS]  # 山顶, 海边
        self._filler_sums = list(accumulate(words.weights))
        self._hard_sums = list(accumulate(words.hard_weights))
        self.buildings = sorted(word for word in BUILDINGS if len(word) > 1)
        self.captions: dict[SpatialType, list[str]] = {"strong": [], "weak": [], "none": []}
        for caption, label in captions:
            self.captions[label].append(caption)

    def draw(self, rng: random.Random) -> Sample:
        """One caption of at most 32 characters (where cut) and its label."""
        label: SpatialType = rng.choices(("strong", "weak", "none"), (0.36, 0.28, 0.36))[0]
        source = rng.random()
        if label == "none":
            if source < 0.30:
                return self._finish(rng, self._real(rng, label), label)
            if source < 0.38:
                return self._finish(rng, self._sample(rng, label), label)
            if source < 0.55:
                return self._finish(rng, self._plain(rng), label)
            return self._noise(rng)[: MAX_CHARACTERS if rng.random() < 0.8 else 60], label
        if source < 0.52:
            caption = self._real(rng, label)
        elif source < 0.62:
            caption = self._sample(rng, label)
        else:
            caption = self._built(rng, label)
        if rng.random() < 0.15:
            return self._wrapped(rng, caption, label)
        return self._finish(rng, caption, label)

    def _built(self, rng: random.Random, label: SpatialType) -> str:
        """A filled construction; one that the rules read as more than it was meant is redrawn."""
        while True:
            caption = self._strong(rng) if label == "strong" else self._weak(rng)
            if label == "strong" or label_caption(caption) != "strong":
                return caption

    def _sample(self, rng: random.Random, label: SpatialType) -> str:
        """A caption of the sample world, web noise among those without position."""
        if label == "none" and rng.random() < 0.6:
            return web_noise(rng)
        return make_situation(rng, label).caption

    def _real(self, rng: random.Random, label: SpatialType) -> str:
        """A real caption of this label; at times one clause, or a noun exchanged."""
        pool = self.captions[label]
        if not pool:
            return self._sample(rng, label)
        caption = rng.choice(pool)
        for _ in range(2):
            changed = caption
            choice = rng.random()
            if choice < 0.15:
                changed = rng.choice(caption.replace("。", "，").split("，"))
            elif choice < 0.5:
                changed = self._exchange(rng, caption)
            elif choice < 0.6 and "的" in caption:
                changed = caption[caption.index("的") + 1 :]
            elif choice < 0.65:
                changed = caption[: rng.randint(6, 32)]
            if len(changed) >= 3 and label_caption(changed) == label:
                caption = changed
        return caption

    def _exchange(self, rng: random.Random, caption: str) -> str:
        spots = [
            (start, size)
            for start in range(len(caption))
            for size in (3, 2)
            if caption[start : start + size] in THINGS
        ]
        if not spots:
            return caption
        start, size = rng.choice(spots)
        return caption[:start] + self._thing(rng) + caption[start + size :]

    def _thing(self, rng: random.Random) -> str:
        return rng.choice(self.things)

    def _some(self, rng: random.Random, nouns: Sequence[str] | None = None) -> str:
        """A noun, often counted or described."""
        noun = rng.choice(nouns) if nouns else self._thing(rng)
        described = rng.choice(COLOURS) + noun if rng.random() < 0.25 else noun
        return rng.choice(COUNTS) + described if rng.random() < 0.6 else described

    def _strong(self, rng: random.Random) -> str:
        pick = rng.choice
        a = self._some(rng, PEOPLE) if rng.random() < 0.5 else self._some(rng)
        b = self._some(rng) if rng.random() < 0.3 else self._thing(rng)
        who = self._some(rng, PEOPLE)
        de = pick(["", "的"])
        side, on = pick(SIDES), pick(ON)
        posture = pick(POSTURES)
        scene = pick(self.scenes)
        act = pick(ACTS)
        place = pick([b + on, b + on, b + de + side])
        is_, link = ["是", "有"], ["是", "有", "的"]
        return pick(
            [
                f"{a}在{place}",
                f"{who}{posture}在{place}{pick(['', act])}",
                f"{who}在{place}{act}",
                f"{place}{pick(PLACED)}{a}",
                f"{posture}在{place}的{who}",
                f"{place}的{a}",
                f"{a}在{pick(PEOPLE)}{de}{pick(SIDE_OF_PERSON)}",
                f"{who}{pick(['在', posture + '在'])}{pick(PEOPLE)}和{self._thing(rng)}"
                f"{pick(['之间', '中间'])}",
                f"{pick(self.buildings)}{pick(OF_BUILDING)}{pick(['的', '有', '站着', '停着'])}{a}",
                f"{who}{posture}在{pick(self.buildings)}{pick(['前', '后', '前面', '旁边'])}",
                f"{self._filler(rng)}(左){pick(['和', '与', '、', ''])}{self._filler(rng)}(右)"
                f"{pick(['', act, '合影'])}",
                f"{scene}{pick(FRONT)}{pick(link)}{a}",
                f"{pick(PICTURES)}{pick(AREAS)}{pick(link)}{a}",
                f"{pick(AREAS)}{pick(is_)}{pick(STUFF)}，{pick(AREAS)}{pick(is_)}{a}",
                f"{a}{pick(['在左', '在上', '在前'])}，{b}{pick(['在右', '在下', '在后'])}",
                f"{who}{pick(['围着', '围坐在', '围在', '环绕着'])}{b}{pick(['', '旁边', act])}",
                f"{who}{act}，{pick(['旁边', '后面', '前面', '左边', '右边', '身后'])}"
                f"{pick(['有', '是', '站着'])}{a}",
                f"{who}{pick(['躲', '藏', '跟', '走', '追'])}在{self._thing(rng)}{de}"
                f"{pick(['后面', '后', '前面', '旁边'])}",
                f"{scene}{pick(['里', '上', '中'])}的{self._thing(rng)}{pick(['上', '旁', '前'])}"
                f"{pick(PLACED)}{who}",
                f"{who}{pick(['坐', '骑', '趴'])}在{pick(PEOPLE)}的"
                f"{pick(['肩上', '背上', '身上', '头上', '腿上'])}",
            ]
        )

    def _weak(self, rng: random.Random) -> str:
        pick = rng.choice
        who = self._some(rng, PEOPLE)
        scene = pick(self.scenes)
        near = pick([*NEAR, "", "内"])
        place = pick(self.spots) if rng.random() < 0.4 else scene + near
        there = pick(self.spots) if rng.random() < 0.4 else scene + (near or "上")
        act, thing = pick(ACTS), self._some(rng)
        spot, held = pick(BODY_SPOTS), pick(HELD)
        return pick(
            [
                f"{who}在{place}{act}",
                f"{who}在{place}{pick(STATES)}{act}",
                f"{pick(['在', ''])}{there}{pick(['的', '有', act + '的'])}{who}",
                f"在{place}{act}的{who}",
                f"{pick(POSTURES)}在{there}的{who}",
                f"{who}{pick(POSTURES)}在{there}",
                f"{self._filler(rng, 0)}{there}{pick(['', '的'])}{self._filler(rng, 0)}",
                f"{there}{pick(['有', '停着', '放着'])}{thing}",
                f"{who}{spot}{held}{self._thing(rng)}",
                f"{spot}{held}{self._thing(rng)}的{who}",
                f"{who}{pick(GAZES)}",
                f"{who}{pick(['走过', '穿过', '跑过', '走进', '跳进', '走在'])}{scene}",
                f"{who}{pick(STATES)}在{place}",
            ]
        )

    def _plain(self, rng: random.Random) -> str:
        """A picture caption without a position."""
        who, act = self._some(rng, PEOPLE), rng.choice(ACTS)
        verb = rng.choice(self.words.verbs) if self.words.verbs else act
        return rng.choice(
            [
                f"{who}在{act}",
                f"{who}{rng.choice(['在', '正在', ''])}{rng.choice(SPELLED_ACTS)}",
                f"{rng.choice(['', '在'])}{rng.choice(SPELLED_ACTS)}的{who}",
                f"{who}正在{verb}",
                f"{who}在{verb}",
                f"{act}的{who}",
                f"{rng.choice(['', '在'])}{verb}的{who}",
                f"{who}{rng.choice(STATES)}",
                f"{rng.choice(STATES)}的{who}{rng.choice(['', '在' + act])}",
                f"{who}和{self._some(rng)}",
                f"{who}{rng.choice(['站', '坐', '抱', '走', '玩'])}在一起",
                f"{self._some(rng)}",
                f"{who}一边{act}一边{rng.choice(ACTS)}",
                f"{who}拿着{self._some(rng)}",
                f"{who}{rng.choice(['吃', '看', '追', '买', '修理'])}{self._some(rng)}",
            ]
        )

    def _filler(self, rng: random.Random, hard: float = 0.35) -> str:
        """A dictionary word; a share of `hard` holds a position character and states none."""
        if rng.random() < hard:
            return rng.choices(self.words.hard, cum_weights=self._hard_sums)[0]
        return rng.choices(self.words.fillers, cum_weights=self._filler_sums)[0]

    def _noise(self, rng: random.Random) -> str:
        """What a web page calls its pictures: titles, prices, news, file names."""
        pieces: list[str] = []
        for _ in range(rng.randint(2, 9)):
            pieces.append(self._noise_piece(rng))
            if rng.random() < 0.22:
                pieces.append(rng.choice(MARKS))
        if rng.random() < 0.05:
            start = rng.choice(["IMG_", "DSC", "img", "u="])
            name = f"{start}{rng.randrange(10**6)}{rng.choice(['.jpg', '.png', ''])}"
            pieces.insert(0, name)
        return "".join(pieces)

    def _noise_piece(self, rng: random.Random) -> str:
        pick, choice = rng.choice, rng.random()
        if choice < 0.55:
            return self._filler(rng)
        if choice < 0.62:
            return pick(SHOPS)
        if choice < 0.65:
            return pick(BRANDS)
        if choice < 0.68:
            word = "".join(rng.choices("aeiounstrlmdckhpgbwvyxz", k=rng.randint(2, 8)))
            return pick([word, word.upper(), word.title(), f" {word} "])
        if choice < 0.70:
            a, b = rng.randint(0, 12), rng.randint(1, 31)
            return pick([f"{a + 1}月{b}日", f"{a}-{b}", f"{a}:{b:02d}", f"{b}.{a}", f"{b}/{a + 1}"])
        if choice < 0.75:
            sizes = [rng.randint(1, 99), rng.randint(100, 99999), rng.randint(2000, 2024)]
            return f"{pick(sizes)}{pick(['', *UNITS])}"
        if choice < 0.85:
            field, where = pick(FIELDS), pick(OF_FIELD)
            return f"{pick(['', '在'])}{field}{where}"
        if choice < 0.9:
            return pick(self.things) + pick(["", "的", "图片", "多少钱", "怎么", "设计", "价格"])
        if choice < 0.95:
            left, right = pick(BRACKETS)
            return f"{left}{self._filler(rng)}{pick(['', self._filler(rng)])}{right}"
        return pick(PARTICLES)

    def _wrapped(self, rng: random.Random, caption: str, label: SpatialType) -> Sample:
        """`caption` with noise around it, whole within the cut so that the label stays true."""
        noise = self._noise(rng)[: max(2, MAX_CHARACTERS - len(caption) - 2)]
        mark = rng.choice([",", "，", " ", "|", "_", "-", ":", "。", "!"])
        if rng.random() < 0.5:
            return f"{noise}{mark}{caption}", label
        if rng.random() < 0.5:
            left, right = rng.choice(BRACKETS)
            return f"{left}{noise}{right}{caption}", label
        return f"{caption}{mark}{noise}"[: max(MAX_CHARACTERS, len(caption))], label

    def _finish(self, rng: random.Random, caption: str, label: SpatialType) -> Sample:
        """Close as people do: with a full stop, without, with a space."""
        caption = caption.rstrip("。. ")
        return caption + rng.choice(["", "", "。", ".", " ", "。"]), label
