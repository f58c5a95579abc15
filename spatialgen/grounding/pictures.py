"""The pictures that a model is shown: read from lake/images, decoded by threads ahead of it."""

import io
import os
import time
import warnings
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Generic, Literal, TypeVar

import lance
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

T = TypeVar("T")
View = Literal["plain", "mirrored", "smaller"]
"""How a picture is shown: as it is, left and right exchanged, or at two thirds of its size."""

SMALLER = 2 / 3
MOST_THREADS = 8

warnings.filterwarnings("ignore", module=r"PIL\.")  # of files that only look odd


class UnreadableError(Exception):
    """A file that cannot be decoded, or is not there."""


class Pictures:
    """Pictures of a published images table by sha256; safe to use from several threads."""

    def __init__(self, dataset: lance.LanceDataset) -> None:
        self.dataset = dataset
        rows = dataset.scanner(columns=["sha256"], with_row_address=True).to_table()
        digests = np.array(rows["sha256"].to_pylist(), "S64")
        order = np.argsort(digests)
        self._digests: NDArray[np.bytes_] = digests[order]
        self._addresses: NDArray[np.uint64] = rows["_rowaddr"].to_numpy()[order]

    def read(self, sha256: str) -> bytes:
        """The file as it came; UnreadableError where the table lacks it."""
        place = int(np.searchsorted(self._digests, np.bytes_(sha256)))
        if place >= len(self._digests) or self._digests[place] != sha256.encode():
            raise UnreadableError(f"lake/images holds no picture {sha256}")
        (blob,) = self.dataset.take_blobs("image", addresses=[int(self._addresses[place])])
        with blob:
            content: bytes = blob.readall()
        return content

    def show(self, sha256: str, view: View = "plain") -> Image.Image:
        """The decoded picture, RGB; UnreadableError where it is damaged."""
        return shown(decode(self.read(sha256)), view)


def decode(content: bytes) -> Image.Image:
    """RGB, as stored: EXIF orientation is not applied, transparency is white."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.mode.startswith("I;16"):  # Pillow would cut its values at 255
                return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
            if image.mode in ("I", "F"):
                raise UnreadableError(f"its {image.mode} pixels have no known range")
            if image.has_transparency_data:
                white = Image.new("RGBA", image.size, "white")
                return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
            return image.convert("RGB")
    except (UnreadableError, MemoryError):
        raise
    except UnidentifiedImageError:  # its message holds an address in memory
        raise UnreadableError("UnidentifiedImageError: no format that Pillow knows") from None
    except Exception as error:  # Pillow's decoders raise many kinds
        said = " ".join(str(error).split())[:200]
        raise UnreadableError(f"{type(error).__name__}: {said}") from None


def shown(picture: Image.Image, view: View) -> Image.Image:
    """The picture in this view."""
    if view == "mirrored":
        return ImageOps.mirror(picture)
    if view == "smaller":
        width, height = (max(1, round(side * SMALLER)) for side in picture.size)
        return picture.resize((width, height), Image.Resampling.BICUBIC)
    return picture


def as_seen_plainly(bbox: Sequence[float], view: View) -> list[float]:
    """A box of the picture that was shown in this view."""
    x1, y1, x2, y2 = bbox
    return [1 - x2, y1, 1 - x1, y2] if view == "mirrored" else [x1, y1, x2, y2]


class Ahead(Generic[T]):
    """Calls `load` in threads for what is expected, some items ahead of what is taken."""

    def __init__(self, load: Callable[[Any], T], *, ahead: int, threads: int = 0) -> None:
        count = threads or min(MOST_THREADS, os.cpu_count() or 1)
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="pictures")
        self._load, self._ahead = load, ahead
        self._waiting: list[Any] = []
        self._loading: OrderedDict[Any, Future[T]] = OrderedDict()
        self.waited_s = 0.0

    def expect(self, items: Sequence[Any]) -> None:
        """What will be taken, in about this order; forgets what was expected before."""
        for future in self._loading.values():
            future.cancel()
        self._loading.clear()
        self._waiting = list(reversed(items))
        self._begin(0)

    def take(self, items: Sequence[Any]) -> list[T | Exception]:
        """Each item's result, or what loading it raised. They stay at hand until `done`."""
        self._begin(len(items))
        started = time.perf_counter()
        futures = [self._future(item) for item in items]
        results = [self._result(future) for future in futures]
        self.waited_s += time.perf_counter() - started
        for item, result in zip(items, results, strict=True):
            if isinstance(result, Exception):
                self._loading.pop(item, None)  # the next to ask for it tries anew
        return results

    def done(self, items: Sequence[Any]) -> None:
        """Forget these; the next ones have room."""
        for item in items:
            self._loading.pop(item, None)
        self._begin(0)

    def _begin(self, taken: int) -> None:
        while self._waiting and len(self._loading) < self._ahead + taken:
            self._future(self._waiting.pop())

    def _future(self, item: Any) -> "Future[T]":
        if item not in self._loading:
            self._loading[item] = self._pool.submit(self._load, item)
        return self._loading[item]

    def _result(self, future: "Future[T]") -> "T | Exception":
        try:
            return future.result()
        except Exception as error:
            return error
