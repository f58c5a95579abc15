"""A seeded grammar of Chinese web captions whose spatial_type is known by construction.

strong: a position relation between two drawable things, or a thing and a region of the picture.
weak: only a scene or ground is named, or something worn or held.
none: no position, or a position character with another meaning (下载, 上海, 左右 = about).
"""

import random
from collections.abc import Callable

MAX_CHARACTERS = 32  # Wukong cuts its captions there

ANIMALS = ["猫", "狗", "兔子", "熊猫", "老虎", "大象", "马", "奶牛", "小鸟", "鸭子", "猴子", "企鹅"]
OBJECTS = ["苹果", "香蕉", "足球", "篮球", "汽车", "自行车", "雨伞", "花瓶", "台灯", "蛋糕", "杯子"]
FURNITURE = ["桌子", "椅子", "沙发", "床", "箱子", "柜子"]
PEOPLE = ["男孩", "女孩", "老人", "厨师", "医生"]
THINGS = [*ANIMALS, *OBJECTS]
COLOURS = ["红色", "白色", "黑色", "黄色", "蓝色", "棕色"]
GROUNDS = ["草地上", "沙滩上", "雪地里", "海边", "街道上", "水中", "山顶上", "公园里", "路边"]
REGIONS = ["蓝天", "大海", "草地", "雪山", "树林"]
SIDES = ["左边", "右边", "左侧", "右侧", "左面", "右面"]
ENDS = ["上方", "下方", "上面", "下面", "前面", "后面"]
CORNERS = ["左上角", "右上角", "左下角", "右下角", "中央", "正中间"]
ACTIONS = ["奔跑", "玩耍", "休息", "散步", "吃东西"]
CLOTHES = ["帽子", "墨镜", "围巾", "背包"]
BRANDS = ["华为", "小米", "苹果", "联想", "格力", "奥迪"]
PLACES = ["上海", "中山", "海南", "湖北", "济南"]
TOPICS = ["装修效果图", "婚纱摄影", "手机壁纸", "高考作文", "红烧肉做法", "连衣裙新款", "旅游攻略"]

Rule = Callable[[random.Random], str]


def _noun(rng: random.Random, words: list[str]) -> str:
    word = rng.choice(words)
    return rng.choice(COLOURS) + "的" + word if rng.random() < 0.3 else word


def _pair(rng: random.Random) -> tuple[str, str]:
    first, second = rng.sample(THINGS, 2)
    return first, second


def _a_of_b(rng: random.Random) -> str:
    first, second = _pair(rng)
    return f"{first}在{second}的{rng.choice(SIDES + ENDS)}"


def _b_side_is_a(rng: random.Random) -> str:
    first, second = _pair(rng)
    return f"{second}的{rng.choice(SIDES)}{rng.choice(['是', '有'])}一个{first}"


def _left_right(rng: random.Random) -> str:
    first, second = _pair(rng)
    return f"左边{rng.choice(['是', '有'])}{first}，右边{rng.choice(['是', '有'])}{second}"


def _above_below(rng: random.Random) -> str:
    return f"上方是{rng.choice(REGIONS)}，下方是{_noun(rng, ANIMALS)}"


def _beside(rng: random.Random) -> str:
    return f"{rng.choice(FURNITURE)}旁边有一只{_noun(rng, ANIMALS)}"


def _between(rng: random.Random) -> str:
    first, second, third = rng.sample(THINGS, 3)
    return f"{first}在{second}和{third}之间"


def _support(rng: random.Random) -> str:
    place = rng.choice(["上", "下", "里", "前", "后面"])
    action = rng.choice(["坐", "躺", "站", "趴"])
    return f"一只{_noun(rng, ANIMALS)}{action}在{rng.choice(FURNITURE)}{place}"


def _corner(rng: random.Random) -> str:
    return f"图片{rng.choice(CORNERS)}有一个{_noun(rng, OBJECTS)}"


def _around(rng: random.Random) -> str:
    return f"一群{rng.choice(PEOPLE)}围着一个{_noun(rng, OBJECTS)}"


def _on_ground(rng: random.Random) -> str:
    return f"一只{_noun(rng, ANIMALS)}在{rng.choice(GROUNDS)}{rng.choice(ACTIONS)}"


def _ground_first(rng: random.Random) -> str:
    return f"{rng.choice(GROUNDS)}的{rng.choice(PEOPLE + ANIMALS)}"


def _worn(rng: random.Random) -> str:
    return f"头上戴着{rng.choice(COLOURS)}{rng.choice(CLOTHES)}的{rng.choice(PEOPLE)}"


def _plain(rng: random.Random) -> str:
    return f"{rng.choice(['一个', '两个', '三个'])}{_noun(rng, THINGS)}"


def _acting(rng: random.Random) -> str:
    return f"一只{_noun(rng, ANIMALS)}正在{rng.choice(ACTIONS)}"


def _shop(rng: random.Random) -> str:
    price = rng.randrange(9, 5000)
    return f'{rng.choice(BRANDS)}{rng.choice(TOPICS)}"{price}元起"全国包邮,正品保证'


def _news(rng: random.Random) -> str:
    day = f"{rng.randrange(1, 13)}月{rng.randrange(1, 29)}日"
    return f"{day}{rng.choice(PLACES)}{rng.choice(TOPICS)}:专家这样说!"


def _download(rng: random.Random) -> str:
    return f"{rng.choice(TOPICS)}免费下载_高清大图({rng.randrange(1000, 99999)})"


def _false_position(rng: random.Random) -> str:
    phrase = rng.choice(
        ["手机上市", "售价{n}元左右", "附上说明书", "业绩上涨{n}%", "年前到货", "中国制造"]
    )
    return f"{rng.choice(BRANDS)}{rng.choice(TOPICS)},{phrase.format(n=rng.randrange(2, 900))}"


def _code(rng: random.Random) -> str:
    return f"IMG_{rng.randrange(10**7):07d} {rng.choice(TOPICS)}【{rng.choice(BRANDS)}】"


def _long(rng: random.Random) -> str:
    return f"{_news(rng)}{_shop(rng)}{_download(rng)}"


RULES: dict[str, list[Rule]] = {
    "strong": [
        *[_a_of_b, _b_side_is_a, _left_right, _above_below, _beside],
        *[_between, _support, _corner, _around],
    ],
    "weak": [_on_ground, _ground_first, _worn],
    "none": [_plain, _acting, _shop, _news, _download, _false_position, _code, _long],
}
STRONG_OF_SPATIAL = 0.65  # of the captions that are strong or weak, as in hand-labelled web rows


def make_caption(rng: random.Random, spatial_share: float) -> tuple[str, str]:
    """A caption of at most 32 characters, and its spatial_type."""
    spatial_type = "none"
    if rng.random() < spatial_share:
        spatial_type = "strong" if rng.random() < STRONG_OF_SPATIAL else "weak"
    caption = rng.choice(RULES[spatial_type])(rng)
    return caption[:MAX_CHARACTERS], spatial_type
