"""Pictures with their boxes, names and caption drawn, to look at: one, or many on a sheet."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

logger = logging.getLogger(__name__)

SHIPPED = Path(__file__).parent / "fonts" / "NotoSansSC-Regular-GB2312.ttf"
SYSTEM_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "/Library/Fonts",
                  "/System/Library/Fonts", "~/.local/share/fonts", "~/.fonts",
                  "C:/Windows/Fonts")  # fmt: skip
# Beginnings of file names, best first: fonts with all Chinese characters.
CHINESE = ("NotoSansCJK-Regular", "NotoSansSC", "NotoSansCJKsc-Regular", "SourceHanSansSC-Regular",
           "SourceHanSans-Regular", "wqy-microhei", "wqy-zenhei", "PingFang", "msyh", "simhei",
           "DroidSansFallback")  # fmt: skip
COLOURS = ("#e6194b", "#0082c8", "#3cb44b", "#f58231", "#911eb4", "#008080", "#9a6324", "#f032e6")
AGREES, FAILS, UNTESTED = "#1a7f37", "#cf222e", "#6e7781"
SIDE = 384  # pixels of the longer side of a picture on a panel
MARGIN = 8
TEXT_SIZE = 16


@dataclass(frozen=True)
class Panel:
    """A picture, its boxes [x1, y1, x2, y2] in 0..1 by name, and (text, colour) lines below it."""

    picture: Image.Image
    objects: Sequence[tuple[str, Sequence[float]]]
    lines: Sequence[tuple[str, str]]

    def draw(self) -> Image.Image:
        """RGB; the picture is scaled so that its longer side is SIDE."""
        picture = self.boxed()
        width, height = picture.size
        lines = [(part, colour) for text, colour in self.lines for part in wrap(text)]
        step = round(TEXT_SIZE * 1.4)
        full = Image.new("RGB", (SIDE, height + MARGIN + step * len(lines)), "white")
        left = (SIDE - width) // 2
        full.paste(picture, (left, 0))
        pen = ImageDraw.Draw(full)
        for number, (text, colour) in enumerate(lines):
            pen.text((0, height + MARGIN + number * step), text, fill=colour, font=font(TEXT_SIZE))
        return full

    def boxed(self) -> Image.Image:
        """The picture alone, scaled likewise, with its boxes and names."""
        scale = SIDE / max(self.picture.size)
        width, height = (max(1, round(side * scale)) for side in self.picture.size)
        picture = self.picture.convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
        _draw_boxes(picture, self.objects)
        return picture


def _draw_boxes(picture: Image.Image, objects: Sequence[tuple[str, Sequence[float]]]) -> None:
    """Outlines first, then names, so that no outline crosses a name."""
    pen = ImageDraw.Draw(picture)
    width, height = picture.size
    colours: dict[str, str] = {}
    for name, _ in objects:
        colours.setdefault(name, COLOURS[len(colours) % len(COLOURS)])
    corners = [
        (name, [side * size for side, size in zip(box, (width, height) * 2, strict=True)])
        for name, box in objects
    ]
    for name, (x1, y1, x2, y2) in corners:
        pen.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=colours[name], width=3)
    for name, (x1, y1, _, _) in corners:
        _, _, wide, high = pen.textbbox((0, 0), name, font=font(TEXT_SIZE))
        x, y = min(x1, width - wide - 4), max(0, y1 - high - 4)
        pen.rectangle((x, y, x + wide + 4, y + high + 4), fill=colours[name])
        pen.text((x + 2, y + 1), name, fill="white", font=font(TEXT_SIZE))


def wrap(text: str) -> list[str]:
    """Lines that fit a panel, broken anywhere, as Chinese is."""
    lines = [""]
    for character in " ".join(text.split()):
        if font(TEXT_SIZE).getlength(lines[-1] + character) > SIDE:
            lines.append("")
        lines[-1] += character
    return lines


def draw_panels(panels: Sequence[Panel], columns: int = 4) -> Image.Image:
    """Panels on a sheet, in rows; each row is as high as its highest panel."""
    drawn = [panel.draw() for panel in panels]
    rows = [drawn[start : start + columns] for start in range(0, len(drawn), columns)]
    heights = [max(panel.height for panel in row) + 2 * MARGIN for row in rows]
    wide = min(columns, len(drawn)) * (SIDE + MARGIN) + MARGIN
    sheet = Image.new("RGB", (wide, sum(heights)), "white")
    top = MARGIN
    for row, height in zip(rows, heights, strict=True):
        for number, panel in enumerate(row):
            sheet.paste(panel, (MARGIN + number * (SIDE + MARGIN), top))
        top += height
    return sheet


@lru_cache(maxsize=8)
def font(size: int) -> ImageFont.FreeTypeFont:
    """The system's best Chinese font, or the shipped one, which has the common characters."""
    return ImageFont.truetype(str(find_font()), size)


@lru_cache(maxsize=1)
def find_font() -> Path:
    """Where the font is that pictures are labelled with."""
    files: Mapping[str, Path] = {
        path.name: path
        for folder in SYSTEM_FOLDERS
        for path in sorted(Path(folder).expanduser().rglob("*.[to]t[fc]"))
    }
    for start in CHINESE:
        for name, path in files.items():
            if name.lower().startswith(start.lower()):
                return path
    logger.info("no Chinese font on this system; rare characters will be missing")
    return SHIPPED
