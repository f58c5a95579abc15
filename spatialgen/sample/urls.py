"""The sample's URLs, what becomes of them, and where its pictures are kept.

What its shards and its server share.
"""

import random

from spatialgen.lake.ids import h64

# What happens to a URL on the sample's web, in ten thousandths of all; the others are pictures.
FAULTS = {
    "gone": 250,
    "expired": 120,
    "page": 100,
    "removed": 150,
    "thumbnail": 100,
    "reserved": 50,
    "moved": 300,
    "overloaded": 60,
    "truncated": 40,
    "hanging": 8,
}
HOST = "gimg2.sample.test"  # .test never resolves (RFC 6761)
PICTURES = "pictures.arrow"  # path, jpeg


def make_url(rng: random.Random) -> str:
    """A URL of the kinds that dominate Wukong: proxied, signed, with commas, without extension."""
    token = f"{rng.getrandbits(128):032x}"
    shape = rng.random()
    if shape < 0.5:
        return (
            f"http://{HOST}/image_search/src=http%3A%2F%2Fimg.zcool.test%2F{token[:16]}.jpg"
            f"&refer=http%3A%2F%2Fwww.zcool.test&app=2002&size=f9999,10000&q=a80&n=0&g=0n&fmt=jpeg"
            f"?sec={1_620_000_000 + rng.randrange(10**7)}&t={token}"
        )
    if shape < 0.8:
        return f"http://{HOST}/it/u={rng.getrandbits(32)},{rng.getrandbits(32)}&fm=26&gp=0.jpg"
    return f"http://{HOST}/n0/jfs/t1/{token}"


def fate_of(path: str) -> str:
    """What this path and query answers: `picture`, or a name of FAULTS."""
    place = h64("handler", path) % 10_000
    for fault, share in FAULTS.items():
        if place < share:
            return fault
        place -= share
    return "picture"


def path_of(url: str) -> str:
    """What a client asks HOST for: the path and query of one of its URLs."""
    return url.split(HOST, 1)[1]
