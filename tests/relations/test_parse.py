"""What captions say of positions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spatialgen.relations.parse import read_caption
from spatialgen.relations.words import LOCALISERS, OPPOSITE
from spatialgen.sample.world.captions import make_situation
from spatialgen.sample.world.view import seeded

# How a claim of the sample world may be said: 上面 is on, 大海里 and 草地上 are where things are.
MEANS: dict[str, tuple[str, ...]] = {"above": ("above", "on"), "at": ("on", "in")}


def said(caption):
    return [(each.kind, each.subject, *each.objects) for each in read_caption(caption).relations]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("一只小猫在箱子的左边", [("left", "小猫", "箱子")]),
        ("箱子左侧有一只小猫", [("left", "小猫", "箱子")]),
        ("箱子左边的小猫", [("left", "小猫", "箱子")]),
        ("上方是天空，下方是草地", [("above", "天空", "草地")]),
        ("上方是鸭子，中间是一棵大树，下边是熊猫",
         [("above", "鸭子", "熊猫"), ("between", "大树", "鸭子", "熊猫")]),
        ("小猫在左，兔子在右", [("left", "小猫", "兔子")]),
        ("灯笼在左上角", [("top_left", "灯笼")]),
        ("车的左上方有一只蝴蝶", [("above", "蝴蝶", "车"), ("left", "蝴蝶", "车")]),
        ("画面的左边是一棵大树", [("left_part", "大树")]),
        ("图片中央有蛋糕", [("center", "蛋糕")]),
        ("椅子和灯笼之间有公交车", [("between", "公交车", "椅子", "灯笼")]),
        ("两棵大树中间有一座房子", [("between", "房子", "大树")]),
        ("一群人围着桌子", [("around", "人", "桌子")]),
        ("一群人围坐在桌子旁边", [("around", "人", "桌子")]),
        ("篮子里的西瓜", [("in", "西瓜", "篮子")]),
        ("躲在大树后面的小猫", [("behind", "小猫", "大树")]),
        ("草地上有猪和小猫", [("on", "猪", "草地"), ("on", "小猫", "草地")]),
        ("一辆火车停在铁轨上，后面有一座小楼",
         [("on", "火车", "铁轨"), ("behind", "小楼", "火车")]),
        ("戴着帽子的女孩坐在公园的长椅上", [("on", "女孩", "长椅")]),
        ("桌子上放着一只垫了纸巾的热狗", [("on", "热狗", "桌子")]),
        ("一个男人手里拿着冲浪板站在石头上", [("on", "男人", "石头")]),
        ("一辆红色的轿车停在售货亭前的路上", [("on", "轿车", "路")]),
        ("一个男孩睡在铺着白色床单的床上", [("on", "男孩", "床")]),
        ("大海里有一头猪", [("in", "猪", "大海")]),
        ("三把椅子在大树的上方", [("above", "椅子", "大树")]),
        ("巧克力蛋糕放在盘子里，上面有草莓", [("in", "蛋糕", "盘子"), ("on", "草莓", "蛋糕")]),
        ("房子左边有小猫，右边有小狗", [("left", "小猫", "房子"), ("right", "小狗", "房子")]),
        ("桌子上的苹果和椅子上的香蕉", [("on", "苹果", "桌子"), ("on", "香蕉", "椅子")]),
        ("照片上的小猫在箱子里", [("in", "小猫", "箱子")]),
        ("一个男人牵着狗站在草地上", [("on", "男人", "草地")]),
        ("左边一只小猫，右边两只小狗", [("left", "小猫", "小狗")]),
        ("小猫左边的小狗和右边的兔子", [("left", "小狗", "小猫")]),
    ],
)  # fmt: skip
def test_relations(caption, expected):
    assert said(caption) == expected


@pytest.mark.parametrize(
    "caption",
    ["", "  ", "上海下载左右为难", "一只可爱的小猫", "2019新款手机上市", "男人在跑步", "hello",
     "左", "在上面", "，。！", "画面前方", "手里拿着杯子",
     "图片上的女孩", "女人把蛋糕放在男孩面前", "妈妈看着孩子在草地上玩耍", "小猫和它左边的小狗",
     "左边和右边的小猫", "几个人正在上一辆公交车", "下一个女孩，上一个男孩", "小猫的头在箱子里",
     "瓶子底部的标签", "桌子中间有一个花瓶", "三个人中间的是老师", "从箱子里拿出一只猫",
     "箱子里有没有小猫", "左边是猫还是狗？", "别把杯子放在桌子上", "如果猫在桌子上", "会议上的男人",
     "上面有蛋糕的桌子", "左半边是猫",
     "桌子上没有苹果", "小猫不在箱子左边", "小猫没坐在椅子上"],
)  # fmt: skip
def test_no_relation(caption):
    assert said(caption) == []


def test_names_are_those_of_relations_first_then_the_others():
    reading = read_caption("一张照片：戴着帽子的小猫在箱子左边，背景是天空")
    assert reading.names[:2] == ("小猫", "箱子")
    assert set(reading.names) == {"小猫", "箱子", "帽子", "天空"}


WORDS = [*"小猫狗树的在有是和左右上下边里，。", *sorted(LOCALISERS), "画面", "桌子"]


@given(st.lists(st.sampled_from(WORDS), max_size=20).map("".join))
@settings(max_examples=200)
def test_any_text_is_read(text):
    for each in read_caption(text).relations:
        assert each.subject
        assert each.subject not in each.objects
        assert each.subject in read_caption(text).names


@pytest.mark.parametrize("kind", ["strong", "weak"])
def test_every_claim_of_the_sample_world_is_read(kind):
    for index in range(300):
        situation = make_situation(seeded("test", 5, index), kind)
        read = {
            (each.kind, each.subject, frozenset(each.objects))
            for each in read_caption(situation.caption).relations
        }
        for claim in situation.claims:
            others = [claim.stuff] if claim.stuff else [situation.things[i] for i in claim.objects]
            subject, relation = situation.things[claim.subject], claim.relation
            stated = {
                (kind, subject, frozenset(others)) for kind in MEANS.get(relation, (relation,))
            }
            if relation in OPPOSITE:  # said of the other thing, perhaps
                opposite = OPPOSITE[relation]
                stated |= {
                    (kind, other, frozenset([subject]))
                    for other in others
                    for kind in MEANS.get(opposite, (opposite,))
                }
            assert stated & read, situation.caption


def test_real_captions_are_read(real_captions):
    readings = [read_caption(caption) for caption in real_captions[:1000]]
    assert sum(bool(reading.relations) for reading in readings) > 500
    assert sum(bool(reading.names) for reading in readings) > 990
