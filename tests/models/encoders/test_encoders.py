"""Encoders: every shape gives a token, every parameter a gradient; pooling against its formula."""

import pytest
import torch

from medzoo.models import SliceEncoder, TableDecoder, TableEncoder, TileEncoder, VolumeDecoder, VolumeEncoder
from medzoo.models.encoders.pooling import GatedAttention

CASES = {
    "3-D ResNet": (VolumeEncoder("resnet10", in_channels=2, dim=7, widen_factor=0.125), (2, 9, 20, 33)),
    "2.5-D ResNet": (SliceEncoder("resnet10t", in_channels=2, dim=7), (2, 5, 33, 20)),
    "2.5-D GhostNet": (SliceEncoder("ghostnet_050", in_channels=1, dim=7, neighbours=0), (1, 3, 32, 40)),
    "tiles": (TileEncoder("ghostnet_050", dim=7, small_stem=True), (4, 3, 16, 16)),
    "table": (TableEncoder(features=11, dim=7, layers=2), (11,)),
}


@pytest.mark.parametrize("name", CASES)
def test_every_patient_gets_a_token_and_every_parameter_a_gradient(name):
    encoder, shape = CASES[name]
    tokens = encoder.train()(torch.randn(3, *shape))
    assert tokens.shape == (3, 7)
    tokens.square().sum().backward()
    assert not [weight for weight, value in encoder.named_parameters() if value.grad is None]


@pytest.mark.parametrize("name", CASES)
def test_a_token_does_not_depend_on_the_other_patients(name):
    encoder, shape = CASES[name]
    rows = torch.randn(3, *shape)
    with torch.no_grad():
        torch.testing.assert_close(encoder.eval()(rows)[1:2], encoder(rows[1:2]), atol=1e-5, rtol=1e-4)


def test_gated_attention_is_the_formula_of_the_paper():
    torch.manual_seed(0)
    pool, bag = GatedAttention(4, hidden=3), torch.randn(2, 5, 4)
    mean, weights = pool(bag)
    v, b = pool.signal.weight, pool.signal.bias
    u, d = pool.gate.weight, pool.gate.bias
    for one in range(2):
        scores = [pool.score.weight[0] @ (torch.tanh(v @ h + b) * torch.sigmoid(u @ h + d)) for h in bag[one]]
        shares = torch.stack(scores).exp() / torch.stack(scores).exp().sum()
        torch.testing.assert_close(weights[one], shares)
        torch.testing.assert_close(mean[one], sum(share * h for share, h in zip(shares, bag[one], strict=True)))


def test_the_most_attended_tiles_are_hidden_in_training_alone():
    torch.manual_seed(0)
    encoder = TileEncoder("ghostnet_050", dim=7, small_stem=True).eval()
    bag = torch.randn(2, 4, 3, 16, 16)
    whole, weights = encoder.attend(bag)
    encoder.hidden_share = 0.6
    assert torch.equal(encoder(bag), whole)
    encoder.training = True  # its parts stay as they are
    token, fewer = encoder.attend(bag)
    assert ((fewer == 0).sum(1) == 2).all(), "six tenths of four tiles, rounded down"
    kept = weights.where(fewer > 0, 0)
    torch.testing.assert_close(fewer, kept / kept.sum(1, keepdim=True))
    assert (weights.where(fewer == 0, 1).amin(1) >= kept.amax(1)).all()
    assert not torch.allclose(token, whole)
    encoder.hidden_share = 0.99
    assert ((encoder.attend(bag)[1] > 0).sum(1) == 1).all(), "one is always left"


def test_the_order_of_tiles_does_not_matter():
    encoder, shape = CASES["tiles"]
    bag = torch.randn(2, 6, *shape[1:])
    with torch.no_grad():
        torch.testing.assert_close(encoder.eval()(bag), encoder(bag[:, torch.randperm(6)]), atol=1e-5, rtol=1e-4)


def test_a_slice_is_shown_with_its_neighbours():
    encoder, shown = SliceEncoder("resnet10t", in_channels=1, dim=2), []
    encoder.net.register_forward_pre_hook(lambda net, inputs: shown.append(inputs[0]))
    volume = torch.arange(4.0).view(1, 1, 4, 1, 1).expand(1, 1, 4, 32, 32)
    encoder.eval()(volume)
    assert shown[0][:, :, 0, 0].tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 3]]


def test_wrong_sizes_are_told():
    with pytest.raises(ValueError, match="neighbours"):
        SliceEncoder("resnet10t", in_channels=1, dim=2, neighbours=-1)
    with pytest.raises(ValueError, match="features=0"):
        TableEncoder(features=0, dim=2)


@pytest.mark.parametrize("size", [(16, 32, 32), (5, 9, 30), (3, 4, 4)])
def test_decoders_give_what_the_encoders_took(size):
    decoder = VolumeDecoder(dim=7, out_channels=2, spatial_size=size, width=4)
    volume = decoder(torch.randn(3, 7))
    assert volume.shape == (3, 2, *size)
    rows = TableDecoder(dim=7, features=11)(torch.randn(3, 7))
    assert rows.shape == (3, 11)
    volume.square().sum().backward()
    assert all(weight.grad.isfinite().all() for weight in decoder.parameters())
