"""What `caption_mix` fills its constructions with; order and repeats count, draws follow them."""


def _words(text: str) -> list[str]:
    return text.split()


PEOPLE = _words(  # who acts
    """
    他 她 他们 大家 男人 女人 男孩 女孩 小男孩 小女孩 小孩 孩子 孩子们 老人 小狗 狗 黑狗 白狗 小猫
    猫 运动员 男子 女子 人 人们 年轻人 情侣 夫妇 新娘 球员 骑手 工人 马 牛 大象 长颈鹿 羊 鸟 鸭子
    斑马 宝宝 姑娘 美女 学生 老师 医生
    """
)
COUNTS = _words(
    """
    一个 两个 三个 几个 一群 一只 两只 许多 一位 一名 一对 很多 有一个 有两个 四个 五个 一些 一条
    一匹 这个 那个
    """
)
COLOURS = _words(
    """
    红色的 白色的 黑色的 黄色的 绿色的 小 大 老式的 漂亮的 可爱的 木制的 破旧的 穿红衣服的
    戴帽子的 棕色 黑白相间的
    """
)
ACTS = _words(
    """
    玩耍 奔跑 休息 散步 跳舞 唱歌 聊天 吃饭 睡觉 拍照 打球 踢球 跑步 骑车 游泳 滑雪 冲浪 打电话
    看书 画画 喝水 吃草 跳跃 玩 比赛 训练 表演 嬉戏 追逐 打架 合影 自拍 钓鱼 玩滑板 踢足球 打篮球
    打网球 玩飞盘 放风筝 骑马 骑自行车 吃东西 喝咖啡 说话 跳绳 演奏 演讲 击剑 摔跤 攀岩 登山 划船
    """
)
SPELLED_ACTS = _words(  # spelled with a position character, and no position
    """
    上课 下棋 上学 放学 上班 下班 上网 下车 上车 下厨 下单 上楼 下楼 围观 前进 后退 上台 上场 下蹲
    上香 上妆 内斗 背书 背课文 侧空翻 顶球 顶嘴 外出 围攻 上菜 下跪 下注 中奖 上岗 上瘾
    """
)
STATES = _words(
    """
    戴着眼镜 穿着红色衣服 骑着马 抱着孩子 牵着狗 打着伞 拿着手机 吹着喇叭 抽着烟 张着嘴 举着双手
    背着书包 戴着帽子 拿着气球 推着车
    """
)
POSTURES = _words(
    """
    坐 站 躺 趴 蹲 睡 靠 跪
    """
)
PLACED = _words(
    """
    放着 摆着 有 站着 停着 挂着 坐着 摆放着 躺着 是 堆着 盛着 装着 趴着
    """
)
SIDES = _words(  # after a thing and 的
    """
    旁边 左边 右边 左侧 右侧 前面 后面 上面 下面 上方 下方 前方 后方 对面 旁 前 后 身旁 里面 中间
    附近 周围 左面 右面 前边 后边 边上 背后 一侧 两侧 两旁 左下方 右上方
    """
)
ON = _words(  # after a thing
    """
    上 上 上 上 下 里 里 里 中 边 旁 前 后 上面 里面 下面 底下 顶上 内 外
    """
)
FRONT = _words(  # places something against a scene
    """
    前面 后面 中间 中央 对面 左边 右边 前方 后方
    """
)
AREAS = _words(
    """
    左上角 右上角 左下角 右下角 左边 右边 上方 下方 中间 中央 顶部 底部 左侧 右侧
    """
)
PICTURES = _words(
    """
    图片 画面 照片 图 图中 画面的 照片的 图片的 构图
    """
)
STUFF = _words(
    """
    蓝天 大海 草地 雪山 树林 天空 白云 沙滩 湖水 城市 夕阳 森林 田野 河流
    """
)
BODY_SPOTS = _words(
    """
    手里 手中 手上 头上 脖子上 嘴里 肩上 身上 脚上 脸上 腰上 怀里 手腕上 头顶 背上 耳朵上 胸前
    腿上 嘴边 手臂上
    """
)
HELD = _words(
    """
    拿着 戴着 提着 握着 捧着 穿着 背着 叼着 挂着 抱着 系着 有 扛着 涂着
    """
)
GAZES = _words(
    """
    看着前方 向前看 背对镜头 看向左边 往上看 看着窗外 面对镜头 望着远方 向左看 向右转 抬头看着天空
    看向镜头 背对着镜头 朝前走 向上跳 往下跳 向后退 看着右边 往前跑 望向窗外 面向大海 从左往右走
    向远处眺望 低头向下看 转向右边 朝着镜头微笑 往外看 回头向后看 跳向空中
    """
)
FIELDS = _words(  # have no place in a picture: 生活中, 历史上
    """
    生活 工作 比赛 历史 网络 世界 市场 电影 梦 心 手机 故事 社会 活动 互联网 股市 小说 新闻 系统
    朋友圈 家庭 教育 行业 电视剧 会议 婚姻 学习 考试 微信 法律 科技 文化 记忆 战争 政策 春天 冬天
    夜 时代 中国 国际 传统 实际 理论 课堂 爱情 职场 名单 价格 数据 节目 赛季 网站 平台 电脑
    """
)
SHOPS = _words(
    """
    正品 包邮 新款 特价 官方旗舰店 秋冬 女装 男装 批发 厂家直销 优惠 促销 限时 爆款 现货 高清 图片
    大全 价格 报价 怎么样 多少钱 评测 攻略 教程
    """
)
BRANDS = _words(
    """
    iphone HUAWEI Nike adidas BMW vivo OPPO Apple PPT CAD logo ins GIF WiFi USB NBA 4K AI VR app
    Canon Sony vs 3D H5 SUV
    """
)
SIDE_OF_PERSON = _words(
    """
    身后 身旁 身边 旁边 后面 前面 左边 面前
    """
)
OF_BUILDING = _words(
    """
    前 后 前面 后面 旁 旁边 外
    """
)
NEAR = _words(
    """
    上 上 里 里 中 旁 边 上面 里面 旁边
    """
)
UNITS = _words(
    """
    元 年 月 % 块左右 人左右 米 款 元起 mm 岁 万 年前 天后 以上 以下 个月内 公里
    """
)
OF_FIELD = _words(
    """
    上 中 里 下 中的 里的 上的 前 后 内外 之上 背后 前后 期间 方面
    """
)
PARTICLES = _words(
    """
    的 了 是 和 就 都 怎么 什么 为什么 如何 这 被 把 将 又 却
    """
)
BRACKETS = tuple(
    (pair[0], pair[1]) for pair in ["【】", "()", "（）", "[]", "「」", "《》", '""', "“”"]
)
MARKS = [*",，。!！ |_-:：~", "...", *"、/?？", " - ", "——", "·"]
