"""Position words and what they mean; words that name no thing."""

from typing import Literal

Kind = Literal[
    "left", "right", "above", "on", "below", "front", "behind", "beside", "between", "in", "around",
    "top_left", "top_right", "bottom_left", "bottom_right", "center",
    "left_part", "right_part", "top_part", "bottom_part",
]  # fmt: skip


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _spell(**words: str) -> dict[str, Kind]:
    table: dict[str, Kind] = {}
    for kind, spelled in words.items():
        table |= dict.fromkeys(spelled.split(), kind)  # type: ignore[arg-type]
    return table


# After a noun: where something is of it. Alone: where in the picture, or of what was just named.
LOCALISERS = _spell(
    left="左边 左侧 左面 左方 左手边 左端 左",
    right="右边 右侧 右面 右方 右手边 右端 右",
    above="上方 上空 正上方 头顶",
    on="上 上面 上边 上头 顶上",
    below="下 下方 下面 下边 底下 正下方 脚下",
    front="前 前面 前方 前边 前头 面前 身前 跟前 正前方",
    behind="后 后面 后方 后边 后头 背后 身后",
    beside="旁 旁边 边上 边 一旁 身边 身旁 近旁 附近 一侧 侧面 两旁 两侧 两边",
    between="之间 中间 当中",
    around="周围 四周",
    center="中央 正中 正中间 正中央 中心",
    top_left="左上角 左上方 左上",
    top_right="右上角 右上方 右上",
    bottom_left="左下角 左下方 左下",
    bottom_right="右下角 右下方 右下",
)
LOCALISERS |= _spell(**{"in": "里 里面 里边 里头 内 内部 中"})

# Of the picture as a whole: 画面的左边.
PARTS: dict[Kind, Kind] = {
    "left": "left_part", "right": "right_part", "above": "top_part", "below": "bottom_part",
    "between": "center", "center": "center",
    "top_left": "top_left", "top_right": "top_right",
    "bottom_left": "bottom_left", "bottom_right": "bottom_right",
}  # fmt: skip
REGIONS = frozenset(PARTS.values())
# Of a thing, a corner means both directions: 车的左上方. Its two directions, for the geometry.
DIAGONALS: dict[Kind, tuple[Kind, Kind]] = {
    "top_left": ("above", "left"), "top_right": ("above", "right"),
    "bottom_left": ("below", "left"), "bottom_right": ("below", "right"),
}  # fmt: skip
OPPOSITE: dict[Kind, Kind] = {
    "left": "right", "right": "left", "above": "below", "on": "below", "below": "above",
    "front": "behind", "behind": "front",
}  # fmt: skip
AFTER_SURROUNDING = frozenset({"beside", "around"})  # 围在桌子旁边 is around it

PICTURE = _words("画面 图片 照片 图像 图 图画 相片 镜头 黑白照片 画")
AT = _words("在 位于 处于 于")
HAVE = _words("有 是 为 还有 也有 也是 只有 均有 都有 都是 还是")
NOT = _words("没有 没 不 不是 无 未 并非 并不 不再 从不 从未")
# In a clause with one of these, somebody else moves there, or nobody says that anything is there.
SILENT = _words(
    "把 将 从 离 别 不要 要 如果 假如 若 可能 也许 吗 呢 还是 是否 有没有 谁 什么 哪里 哪儿 或 或者"
)
PLURAL = ("两", "俩", "二", "三", "四", "五", "六", "几", "双", "对", "群", "排", "些", "众", "多")
AND = _words("和 与 跟 及 以及 、 同")
OF = _words("的 之")
SURROUND = ("围", "环绕", "簇拥")
# After a localiser that the dictionary joins to them: 桌子 上放 着.
PLACING = _words(
    """
    放 摆 铺 停 站 坐 挂 插 躺 趴 用 装 盖 堆 种 长 飞 写 画 贴 骑
    """
)
# What is in a hand or on a head is held or worn, and says nothing of places.
BODY = _words(
    """
    手 双手 手中 嘴 嘴巴 头 头部 肩 肩膀 背 身 身体 脖子 腿 大腿 脚 怀 胸
    胸口 脸 脸部 眼睛 耳朵 腰 手指 手臂 胳膊 口
    """
)

# Nouns that no box can be drawn around: kinds of picture, looks, measures, time, talk.
UNDRAWN = _words(
    """
    背景 前景 远景 近景 特写 特写镜头 风景 景色 场景 全景 景象 样子 形状 外观
    款式 风格 图案 颜色 色彩 花纹 条纹 尺寸 大小 高度 长度 部分 方向 位置
    地方 地点 方式 情况 状态 动作 姿势 表情 心情 时候 时间 日子 白天 夜晚
    早晨 早上 上午 中午 下午 傍晚 晚上 今天 春天 夏天 秋天 冬天 一起 一边
    素材 壁纸 简笔画 卡通图 卡通 高清 摄影 艺术 电影 视频 新闻 品牌 产品 价格
    公司 世界 活动 比赛 生活 文化 技术 系列 型号 款 张 只 个 种 排 对 群
    片 双 大 小 单 多 老 新 高 长 内容 左右 上下 前后 里外 中外 对面
    半边 网 网络 网站 会议 历史 手术 阳光 社会 节目 项目 行业 远处
    近处 角落 边缘 之中 其中 期间 过程 东西 物体 物品 事物 全部 一切 样式
    """
)
