"""Readers of lake/latents and lake/prompts."""

import pickle

import numpy as np
import pytest
import torch

from spatialgen.encode.generator import same_bits
from spatialgen.encode.tables import Latents, Prompts
from spatialgen.errors import LakeError
from spatialgen.lake.lake import Lake
from spatialgen.model_identity import model_identity
from tests.encode.lakes import CAPTIONS, encode, four_rows, params_of


@pytest.fixture(scope="module")
def encoded(tmp_path_factory, kolors):
    """(sha256 by caption, lake) of an encoded lake."""
    folder = tmp_path_factory.mktemp("encoded")
    lake = Lake(folder / "lake", store=folder / ".lake")
    digests = four_rows(lake)
    encode(lake, params_of(kolors))
    return digests, lake


def test_rows_come_in_the_order_asked_and_as_often(encoded):
    digests, lake = encoded
    latents, prompts = Latents(lake.path("latents")), Prompts(lake.path("prompts"))
    keys = [digests[CAPTIONS[place]] for place in (2, 0, 2)]
    first, other, again = latents.take(keys)
    assert torch.equal(first.latents, again.latents)
    assert first.latents.shape == (4, 24, 12)
    assert other.latents.shape == (4, 12, 20)
    assert first.latents.dtype == torch.float32
    texts = [CAPTIONS[3], "", CAPTIONS[3]]
    one, empty, same = prompts.take(texts)
    assert same_bits(one.expand(), same.expand())
    assert not same_bits(one.expand(), empty.expand())
    assert one.expand().shape == (256, 128)
    assert (latents.take([]), prompts.take([])) == ([], [])


def test_shapes_tell_which_pictures_share_a_batch(encoded):
    digests, lake = encoded
    order = [digests[caption] for caption in CAPTIONS]  # 160x120, 128x128, 90x200, 130x128
    numbers = Latents(lake.path("latents")).shapes([*order, order[0]])
    assert numbers.dtype == np.int64
    assert numbers[1] == numbers[3]
    assert numbers[0] == numbers[4]
    assert len(set(numbers.tolist())) == 3


def test_they_pickle_and_know_their_encoder(encoded, kolors):
    digests, lake = encoded
    latents, prompts = Latents(lake.path("latents")), Prompts(lake.path("prompts"))
    (before,), (told,) = latents.take([digests[CAPTIONS[0]]]), prompts.take(["猫"])
    latents, prompts = pickle.loads(pickle.dumps((latents, prompts)))
    assert torch.equal(latents.take([digests[CAPTIONS[0]]])[0].latents, before.latents)
    assert same_bits(prompts.take(["猫"])[0].states, told.states)
    identity = model_identity(str(kolors), None, "encode.revision")
    assert latents.encoder == prompts.encoder == identity


def test_what_is_not_there_is_known_and_named(encoded):
    digests, lake = encoded
    known = Latents(lake.path("latents")).known([digests[CAPTIONS[0]], "0" * 64])
    assert known.tolist() == [True, False]
    with pytest.raises(LakeError, match=r"prompts\.lance lacks text '仙人掌' \(1 of 2 rows\)"):
        Prompts(lake.path("prompts")).take(["", "仙人掌"])
    with pytest.raises(LakeError, match=r"nowhere\.lance is missing; run \"dvc checkout\""):
        Prompts(lake.root / "nowhere.lance").take([""])
