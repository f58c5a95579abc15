"""What most web captions are: titles, prices, news, file names, and no word on what is where."""

import random
from collections.abc import Callable

MAX_CHARACTERS = 32  # Wukong cuts its captions there

BRANDS = ["华为", "小米", "三星", "联想", "格力", "奥迪"]
PLACES = ["上海", "中山", "海南", "湖北", "济南"]
TOPICS = ["装修效果图", "婚纱摄影", "手机壁纸", "高考作文", "红烧肉做法", "连衣裙新款", "旅游攻略"]


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


NOISE: list[Callable[[random.Random], str]] = [
    *[_shop, _news, _download, _false_position, _code, _long]
]


def web_noise(rng: random.Random) -> str:
    """A caption of at most 32 characters, cut as Wukong's are."""
    return rng.choice(NOISE)(rng)[:MAX_CHARACTERS]
