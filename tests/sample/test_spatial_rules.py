"""The rules that label real captions: what each kind of position phrase is worth."""

import pytest

from spatialgen.sample.mix.spatial_rules import label_caption

STRONG = [
    "坐在椅子上的老人",
    "猫在桌子下面",
    "房子后面的大树",
    "树下有两个人",
    "孩子们围着雪人",
    "一个女孩站在妈妈身后",
    "体育馆里两个人坐在长凳上",
    "左边是猫，右边是狗",
    "上方是蓝天，下方是大海",
    "杯子和盘子之间放着勺子",
    "图片右上角有一个太阳",
    "一位老人坐在街道旁的长椅上",
    "女孩手里拿着气球站在汽车旁边",
    "一只鸟停在树枝上",
    "他趴在爸爸的背上",
    "两个人在打牌，旁边有一只狗",
    "教堂前停着一辆车",
    "草地上的桌子上放着蛋糕",
    "小岛前方有一艘帆船",
    "笼子里关着兔子",
    "箱子里放着【全新】玩具",
    "后视镜里有一辆车",
]
WEAK = [
    "草地上的狗",
    "孩子们在客厅里玩",
    "一辆车停在路边",
    "街道旁的行人",
    "一群人在海边散步",
    "手里拿着书的女人",
    "头上戴着帽子的孩子",
    "向前看的男人",
    "背对镜头的新娘",
    "看向左边的女孩",
    "在水中游泳的鸭子",
    "站在山坡上的羊",
    "一架飞机在空中飞行",
    "小狗在雪地里奔跑",
    "在公园散步的夫妇",
]
NONE = [
    "上海旅游攻略",
    "手机软件免费下载",
    "价格在500元左右",
    "新款手机上市",
    "附上使用说明",
    "中国制造",
    "里程碑",
    "女士上衣",
    "国足前锋",
    "早上好",
    "晚上吃什么",
    "戴着眼镜的男人",
    "一个骑着马的人",
    "玩冰球的孩子",
    "朋友们站在一起",
    "围着围巾的女孩",
    "他一边喝咖啡一边看报",
    "生活中的小技巧",
    "手机里的照片怎么恢复",
    "三头大象",
    "比赛中的运动员",
    "一个人在唱歌",
    "前列腺炎的治疗",
    "新闻联播",
    "背包批发",
    "公司上半年业绩上涨",
]


@pytest.mark.parametrize("caption", STRONG)
def test_relation_between_things_is_strong(caption):
    assert label_caption(caption) == "strong"


@pytest.mark.parametrize("caption", WEAK)
def test_scene_body_and_gaze_are_weak(caption):
    assert label_caption(caption) == "weak"


@pytest.mark.parametrize("caption", NONE)
def test_words_that_only_spell_a_position_are_none(caption):
    assert label_caption(caption) == "none"


@pytest.mark.parametrize("caption", ["", " ", "。", "IMG_0012.JPG", "上", "😀上"])
def test_what_is_no_sentence_is_none(caption):
    assert label_caption(caption) == "none"


def test_the_strongest_clause_decides():
    assert label_caption("上海下载，草地上的狗") == "weak"
    assert label_caption("草地上的狗。狗在椅子下面") == "strong"
