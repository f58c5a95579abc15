"""`label_caption`: the spatial_type of a real Chinese caption, by hand-written rules.

A position word counts by what stands before it. On a thing (桌子上, 树后) it states a relation:
strong. On a scene (草地上, 街道旁) or a body part (手里) it only sets the scene: weak. Inside a
word (上海, 下载) or after something that has no place (比赛中, 手机里) it says nothing. The rules
label real captions for the training of the small text model, which generalises beyond their words.
"""

import re
from functools import lru_cache
from typing import Literal

from spatialgen.sample.mix.lexicon import (
    ABSTRACTS,
    ANIMATES,
    BESIDE,
    BODY_PARTS,
    BUILDINGS,
    FRONT_OR_MIDDLE,
    LEXICAL,
    OWN_SIDE,
    SCENES,
    SCREENS,
    SPLITTABLE,
    THINGS,
    TIME_LIKE,
    VAGUE,
)
from spatialgen.sample.world.classes import SpatialType

NounKind = Literal["scene", "body", "abstract", "animate", "thing", "unknown", "bare"]
RANK: dict[SpatialType, int] = {"none": 0, "weak": 1, "strong": 2}
LONGEST_NOUN = 5

# Position words that hold for themselves, the noun before them may be left out: 旁边有一只狗.
SIDE = (
    "顶部|底部|左上角|右上角|左下角|右下角|左边|右边|左侧|右侧|左面|右面|左方|右方|左手边|右手边|"
    "左下方|右下方|左上方|右上方|左前方|右前方|旁边|两旁|两侧|两边|一旁|一侧|身旁|身边|身后|身前|"
    "背后|面前|眼前|脚边|脚下|对面|之间|正中间|中间|正中央|中央|正中|正前方|上方|下方|前方|后方|"
    "上空|上面|下面|上边|下边|前面|后面|前边|后边|前头|后头|里面|里边|里头|外面|外边|外头|底下|"
    "顶上|顶端|四周|周围|附近|背面|侧面|反面|另一边|一边|一头|一端|角落|边缘|边上"
)
SINGLE = "上|下|里|中|内|外|前|后|旁|边|顶"
LOCALISER = re.compile(f"(?P<side>{SIDE})|(?P<single>{SINGLE})")
POSITION = re.compile("[左右上下里中内外前后旁边顶底围]")
SIDE_WORD = re.compile(SIDE)
LEXICAL_WORD = re.compile("|".join(sorted(map(re.escape, set(LEXICAL)), key=len, reverse=True)))
CLAUSE = re.compile(r"[,，。.!！?？;；:：、|_【】\[\]()（）\"“”《》…~\n]+")


POSTURE = (
    "坐|站|躺|趴|卧|蹲|跪|骑|靠|倚|睡|爬|落|停|挂|放|摆|搭|插|贴|摆放|放置|停靠|停放|堆|堆放|铺|叠|"
    "立|伏|挤|躲|藏|围|扶"
)
POSTURE_AT = re.compile(
    rf"(?:{POSTURE})(?:坐|站|放|着|立|靠|在|了|到){{0,2}}$|(?:{POSTURE})[^在]{{0,2}}在[^在]{{1,8}}$"
)
# A caption, not a headline: something is, sits or lies there.
PICTURE_BEFORE = re.compile(rf"(?:在|着|有|{POSTURE})[^在]{{1,8}}$")
PICTURE_AFTER = re.compile(
    rf"^的?(?:有[一二两三四五几许很多个只条]|(?:{POSTURE})|摆着|放着|挂着|盛|装满|装着|是[一蓝白]|"
    "长着|种着|停着)"
)
EXISTS = re.compile("^(?:的)?(?:是|有|站|坐|放|摆|停|挂|还|跟|也|躺|趴|写|画|长|飘|在|着|的)")
GAZE_OR_MOVE = re.compile(
    "(?:看|望|盯|瞧|瞄|注视|凝视|仰望|眺望|俯视)[着向到往了]?$|"
    "(?:向|往|朝|冲|指|面向|面朝|朝着|向着|转向|望着|看着)$"
)
DIRECTION = re.compile(
    "[向往朝](?:着)?(?:左|右|上|下|前|后|外|里)|背对着?|"
    "面[对向朝]着?(?:镜头|大海|太阳|观众|阳光)|"
    "(?:看|望|盯|对|朝|面)(?:着|向)(?:镜头|窗外|远方|远处|天空|前方|大海|海面|地面|上方|下方)|"
    "[走跑冲跳滑爬骑飞驶开游](?:下|上)(?:山|坡|楼|雪|水|树|台|斜|岸|沙)|"
    "抬头看|低头看|看向|望向|仰望|眺望"
)
MOVE_ON_SCENE = re.compile(
    "(?:通|横|开|走|跑|穿|越|跨|跳|飞|滑|骑|冲|游|爬|驶|经|趟|淌|掠|路|涉)"
    "(?:过|进|入|出|向|到|在|下|往)了?(?P<noun>[\u4e00-\u9fff]{1,8})"
)
AT_PLACE = re.compile("(?<![现存实内外所好自])[在于](?P<noun>[\u4e00-\u9fff]{2,12})")
SCENE_HAS = re.compile(
    "^[^在有]{0,10}?(?P<noun>[\u4e00-\u9fff]{2,4})(?:有|摆放|停着|站着|放着|摆着)"
)
FAR = re.compile("在(?:远|近|不远)处|(?:远|近)处[的是有]|在远方")
SUPPORT = re.compile("(?:坐|站|躺|趴|卧|蹲|骑|靠|倚|睡)在(?P<noun>[^上下里中在,，。的]{1,8})")
LEAN = re.compile(
    "(?:紧?挨着|倚靠?着|靠着|并排|并肩|紧靠|紧邻|依偎在|面对面|背靠背|重叠|骑在|趴在|叠在一起)"
)
AROUND = re.compile("围[着在坐成]|环绕|围绕|簇拥|包围着|团团围")
WORN_AROUND = re.compile(
    "围着[^,，。]{0,6}(?:巾|裙|脖|嘴)|围绕[^人桌火树]{0,12}(?:主题|中心|问题|工作|精神|目标)"
)
BODY_RELATION = re.compile("[站坐趴骑躺爬落停靠卧蹲].{0,2}在.{0,12}$|[坐趴骑爬落卧]到?.{0,8}$")
LETTERED = re.compile(
    r"在[左右](?=$|边|的)|在[上下前后]$|[左右][图为]|图[左右]|[从由自]左[到至]右(?![走跑看飞])"
)
MARKED = re.compile(r"[(（][左右][)）]")  # 甲(左)与乙(右)
BACKDROP = re.compile("背景(?:是|为|有|里|中)|为背景|远景|前景")


def label_caption(caption: str) -> SpatialType:
    """strong, weak or none: the strongest that any clause of `caption` states."""
    text = re.sub(r"(?<=[^\x00-\x7f])\s+(?=[^\x00-\x7f])", "", caption.strip())
    best: SpatialType = "strong" if MARKED.search(text) else "none"
    for clause in CLAUSE.split(text):
        if not clause:
            continue
        found = _label_clause(clause)
        if RANK[found] > RANK[best]:
            best = found
    return best


def _label_clause(clause: str) -> SpatialType:
    clause = _blank_words(clause)
    best: SpatialType = "none"
    for found in (_by_construction(clause), *_by_localiser(clause)):
        if RANK[found] > RANK[best]:
            best = found
    return best


def _blank_words(clause: str) -> str:
    """Replace position characters that only spell a word by `#`: 上衣 to #衣."""

    def blank(match: re.Match[str]) -> str:
        word = match[0]
        # 村落后面: the last character begins a longer position word.
        if SIDE_WORD.match(clause, match.end() - 1):
            return word
        if clause[: match.start()].endswith(("的", "在")) and word in ("前门", "后门"):
            return word
        kind = kind_of_noun(clause[: match.start()])
        # 球场上学习, 草地上来: the noun takes the localiser, unless a headline reads better.
        if word[0] in SINGLE and kind in ("scene", "thing", "body") and word in SPLITTABLE:
            return word
        return POSITION.sub("#", word)

    return LEXICAL_WORD.sub(blank, clause)


def _by_construction(clause: str) -> SpatialType:
    """What is stated without a position word: support, surrounding, gaze, a scene named."""
    if AROUND.search(clause) and not WORN_AROUND.search(clause):
        return "strong"
    if LEAN.search(clause) or LETTERED.search(clause) or BACKDROP.search(clause):
        return "strong"
    for match in SUPPORT.finditer(clause):
        noun = match["noun"]
        if any(kind_of_noun(noun[:end]) == "thing" for end in range(1, len(noun) + 1)) and not any(
            kind_of_noun(noun[:end]) == "scene" for end in range(2, len(noun) + 1)
        ):
            return "strong"
    if DIRECTION.search(clause) or FAR.search(clause):
        return "weak"
    for match in (*AT_PLACE.finditer(clause), *MOVE_ON_SCENE.finditer(clause)):
        noun = match["noun"]
        if any(_names_scene(noun[:end]) for end in range(2, len(noun) + 1)):
            return "weak"
    has = SCENE_HAS.search(clause)
    return "weak" if has and _names_scene(has["noun"]) else "none"


def _names_scene(text: str) -> bool:
    """Whether `text` ends in a scene of two characters or more; one alone ends too many words."""
    return any(text[-size:] in SCENES for size in range(2, LONGEST_NOUN + 1))


def _by_localiser(clause: str) -> "list[SpatialType]":
    return [
        _judge(match, clause[: match.start()], clause[match.end() :])
        for match in LOCALISER.finditer(clause)
    ]


def _judge(match: "re.Match[str]", before: str, after: str) -> SpatialType:
    """The label of one position word, by the noun that ends `before`."""
    word, side = match[0], match["side"] is not None
    kind = kind_of_noun(before)
    if not side and kind != "thing" and _suffix(before + word, SCENES):  # 空中, 地上, 海边
        return "weak"
    if GAZE_OR_MOVE.search(before) and kind in ("bare", "unknown"):
        return "weak"
    if side:
        return _judge_side(word, kind, before, after)
    return _judge_single(word, kind, before, after)


def _judge_side(word: str, kind: NounKind, before: str, after: str) -> SpatialType:
    if word in ("一边", "一头", "一端", "另一边"):
        if kind == "scene":
            return "weak"
        if not before.endswith(("的", "在")) and not (kind == "thing" and EXISTS.match(after)):
            return "none"  # 一边吃一边看: while; 一头大象: a counter
    if kind == "abstract" and not re.search(
        "(?:照片|图片?|画面|照)中?$|镜头$", before.rstrip("的")
    ):
        return "none"
    if kind == "scene":
        noun_front = word in FRONT_OR_MIDDLE or (
            word in BESIDE and _suffix(before.rstrip("的"), BUILDINGS)
        )
        return "strong" if noun_front else "weak"
    if kind == "body" and word not in OWN_SIDE:
        return "weak"
    if kind == "bare" and word in ("外面", "外边", "外头", "里面") and before.endswith("在"):
        return "weak"
    if kind in ("bare", "unknown") and word in VAGUE:
        return "strong" if EXISTS.search(after) or before.endswith(("的", "在")) else "none"
    if kind == "unknown" and not _reads_as_picture(before, after) and not EXISTS.search(after):
        return "none" if len(before) + len(after) > 10 and not before.endswith("的") else "strong"
    return "strong"


def _judge_single(word: str, kind: NounKind, before: str, after: str) -> SpatialType:
    if kind in ("abstract", "bare"):
        return "none"
    if kind == "scene":
        if word in ("前", "后"):
            if _suffix(before.rstrip("的"), TIME_LIKE):
                return "none"
            return "strong"
        if word in BESIDE and _suffix(before, BUILDINGS):
            return "strong"
        return "none" if word == "顶" else "weak"
    if kind == "body":
        if word == "前" or word == "后":
            return "weak"
        on_other = before[-1] in "身头肩背腿膀盖子怀" and BODY_RELATION.search(before)
        return "strong" if on_other else "weak"
    if kind == "animate":
        return "strong" if word in ("前", "后", "旁") and before[-1] != "手" else "none"
    if kind == "thing":
        if word in "里中内上" and _suffix(before, SCREENS):  # 手机里, 电视上 hold data
            return "strong" if POSTURE_AT.search(before) else "none"
        if word == "顶":
            return "none"
        if word in ("前", "后", "外") and len(before) < 2:
            return "none"
        return "strong"
    if before.endswith("的"):
        return "none"
    return "strong" if word != "顶" and _reads_as_picture(before, after) else "none"


def _reads_as_picture(before: str, after: str) -> bool:
    return bool(PICTURE_AFTER.search(after) or PICTURE_BEFORE.search(before))


def kind_of_noun(before: str) -> NounKind:
    """What the noun at the end of `before` is; 的 between it and the position word is skipped."""
    stem = before.removesuffix("的")
    if not stem or stem[-1] in "#在有是和与着了从":
        return "bare"
    if not "\u4e00" <= stem[-1] <= "\u9fff":
        return "bare"
    return _kind_of_suffix(stem[-LONGEST_NOUN:])


@lru_cache(maxsize=65_536)
def _kind_of_suffix(stem: str) -> NounKind:
    tables: tuple[tuple[NounKind, frozenset[str]], ...] = (
        ("scene", SCENES),
        ("thing", THINGS),
        ("body", BODY_PARTS),
        ("animate", ANIMATES),
        ("abstract", ABSTRACTS),
    )
    for size in range(min(len(stem), LONGEST_NOUN), 0, -1):
        for kind, words in tables:
            if stem[-size:] in words:
                return kind
    return "unknown"


def _suffix(text: str, words: frozenset[str]) -> bool:
    return any(text[-size:] in words for size in range(1, LONGEST_NOUN + 1))
