"""When two names mean the same thing: 白色的小猫 and 小猫, but not 热狗 and 狗."""

import re

# What may stand before the head of a noun phrase without making it another thing.
MODIFIERS = re.compile(
    r".*的|[小大老黑白红黄蓝绿灰棕粉紫橙金银新旧高矮长短胖瘦圆方]色?|"
    r"[一二两三四五六七八九十几]?[个只条头匹位名群辆张把座棵件架艘块本]"
)


def means_same(one: str, other: str) -> bool:
    """Whether one name is the other, or the other with a modifier before it: the head of a Chinese
    noun phrase is its end."""
    longer, shorter = (one, other) if len(one) >= len(other) else (other, one)
    if not shorter or not longer.endswith(shorter):
        return False
    before = longer.removesuffix(shorter)
    return not before or bool(MODIFIERS.fullmatch(before))
