"""What there is in the sample world: things, each with one sprite, stuff that fills regions, and
the types of captions.

A name is a class noun, one per class, and no name is part of another, so that a caption names a
class exactly where its name stands.
"""

from dataclasses import dataclass
from typing import Literal

SpatialType = Literal["strong", "weak", "none"]


@dataclass(frozen=True)
class Thing:
    """A class of countable things."""

    name: str
    sprite: str  # file in sprites/
    measure: str  # measure word: 一只小猫, 一辆汽车
    alive: bool = False  # an animal, which may hide
    core: bool = False  # chunky and easily told: what the picture generator draws
    holds: bool = False  # things may be in it: 篮子里
    carries: bool = False  # things may be on it: 箱子上


@dataclass(frozen=True)
class Stuff:
    """A class of uncountable regions."""

    name: str
    place: str  # as captions say that something is there: 草地上, 天空中
    colours: tuple[tuple[int, int, int], tuple[int, int, int]]  # at its top and at its bottom
    grain: int  # strength of its texture, of 255


THINGS = {
    thing.name: thing
    for thing in (
        Thing("熊猫", "1f43c.webp", "只", alive=True, core=True),
        Thing("青蛙", "1f438.webp", "只", alive=True, core=True),
        Thing("企鹅", "1f427.webp", "只", alive=True, core=True),
        Thing("猪", "1f416.webp", "头", alive=True, core=True),
        Thing("苹果", "1f34e.webp", "个", core=True),
        Thing("蘑菇", "1f344.webp", "个", core=True),
        Thing("星星", "2b50.webp", "颗", core=True),
        Thing("灯笼", "1f3ee.webp", "个", core=True),
        Thing("公交车", "1f68c.webp", "辆", core=True, carries=True),
        Thing("房子", "1f3e0.webp", "座", core=True, carries=True),
        Thing("箱子", "1f4e6.webp", "个", core=True, carries=True),
        Thing("水桶", "1faa3.webp", "个", core=True),
        Thing("小猫", "1f408.webp", "只", alive=True),
        Thing("兔子", "1f407.webp", "只", alive=True),
        Thing("大象", "1f418.webp", "头", alive=True, carries=True),
        Thing("鸭子", "1f986.webp", "只", alive=True),
        Thing("蝴蝶", "1f98b.webp", "只", alive=True),
        Thing("汽车", "1f697.webp", "辆", carries=True),
        Thing("蛋糕", "1f382.webp", "个"),
        Thing("雨伞", "2614.webp", "把"),
        Thing("椅子", "1fa91.webp", "把", carries=True),
        Thing("篮子", "1f9fa.webp", "个", holds=True),
        Thing("西瓜", "1f349.webp", "块"),
        Thing("大树", "1f333.webp", "棵"),
    )
}
STUFF = {
    stuff.name: stuff
    for stuff in (
        Stuff("天空", "天空中", ((112, 176, 240), (205, 229, 250)), 4),
        Stuff("草地", "草地上", ((126, 178, 76), (86, 140, 50)), 18),
        Stuff("大海", "大海里", ((44, 110, 168), (28, 140, 178)), 12),
        Stuff("沙滩", "沙滩上", ((236, 214, 164), (218, 190, 132)), 16),
        Stuff("雪地", "雪地里", ((240, 244, 250), (214, 224, 238)), 8),
        Stuff("道路", "道路上", ((118, 120, 126), (88, 90, 96)), 14),
    )
}
