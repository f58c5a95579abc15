"""The network of FID has the shape of the published one."""

import torch

from spatialgen.inception import InceptionV3


def test_it_has_the_published_weights():
    network = InceptionV3().eval()
    state = network.state_dict()
    # torchvision's inception_v3 of 1000 classes has 23,834,568 without its auxiliary branch.
    trained = sum(each.numel() for each in network.parameters())
    assert trained + 2048 * 1000 + 1000 == 23_834_568
    shapes = {
        "Conv2d_2b_3x3.conv.weight": (64, 32, 3, 3),
        "Mixed_5c.branch5x5_2.conv.weight": (64, 48, 5, 5),
        "Mixed_6a.branch3x3dbl_3.conv.weight": (96, 96, 3, 3),
        "Mixed_6b.branch7x7dbl_4.conv.weight": (128, 128, 7, 1),
        "Mixed_6e.branch7x7_2.conv.weight": (192, 192, 1, 7),
        "Mixed_7a.branch7x7x3_4.conv.weight": (192, 192, 3, 3),
        "Mixed_7b.branch3x3_2a.conv.weight": (384, 384, 1, 3),
        "Mixed_7c.branch_pool.bn.running_var": (192,),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 299, 299)).shape == (1, 2048)


def test_its_grids_are_those_of_the_paper():
    network = InceptionV3().eval()
    sides = {}
    for name in ("Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c"):
        network.get_submodule(name).register_forward_hook(
            lambda _, __, output, name=name: sides.update({name: output.shape[-1]})
        )
    with torch.inference_mode():
        network(torch.zeros(1, 3, 299, 299))
    assert sides == {"Conv2d_4a_3x3": 71, "Mixed_5d": 35, "Mixed_6e": 17, "Mixed_7c": 8}
