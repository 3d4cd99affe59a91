"""The conditional U-Net and its parts."""

import pytest
import torch

from medzoo.models.diffusion import ConditionalUNet
from medzoo.models.diffusion.blocks import FullAttention, LinearAttention, RMSNorm, sinusoidal_embedding


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = ConditionalUNet(4, 4, 12, dim=8, dim_mults=(1, 2, 3), num_res_blocks=2, heads=2, dim_head=4).eval()
    torch.nn.init.normal_(net.head.weight)  # starts at zero, where nothing before it matters
    return net


@pytest.fixture
def batch():
    return {
        "x": torch.randn(2, 4, 8, 12),
        "t": torch.tensor([3, 990]),
        "context": torch.randn(2, 12, 8, 12),
        "clinical": torch.rand(2, 7),
        "flag": torch.tensor([0, 1]),
    }


def test_paper_size():
    with torch.device("meta"):
        net = ConditionalUNet(4, 4, 12)
        arguments = (torch.zeros(2), torch.zeros(2, 12, 96, 96), torch.zeros(2, 7), torch.zeros(2).long())
        assert net(torch.zeros(2, 4, 96, 96), *arguments).shape == (2, 4, 96, 96)
    # Counted by hand: a block i -> o has 9io + o and 9oo + o weights in convolutions, 2o in norms, (4d + 1) 2o in its
    # modulation, and io + o in its shortcut if i != o.
    d, hidden = 96, 128

    def block(i, o):
        shortcut = 0 if i == o else i * o + o
        return 9 * i * o + 9 * o * o + 2 * o + 2 * o + (4 * d + 1) * 2 * o + shortcut

    def attention(c, linear):
        return c + 3 * c * hidden + hidden * c + c + (c if linear else 0)

    widths = [d, d, 2 * d, 4 * d, 8 * d]
    count = 16 * d * 49 + d  # stem
    count += (d * 4 * d + 4 * d) + (4 * d * 4 * d + 4 * d)  # time
    count += 7 + 4 * d + (14 * 4 * d + 4 * d) + (4 * d * 4 * d + 4 * d) + 3 * 4 * d  # clinical, null, flag
    for level in range(4):
        i, o = widths[level], widths[level + 1]
        count += 2 * block(i, i) + attention(i, level < 3) + (4 if level < 3 else 9) * i * o + o
        count += 2 * block(i + o, o) + attention(o, level < 3) + 9 * o * i + i
    count += 2 * block(8 * d, 8 * d) + attention(8 * d, False) + block(2 * d, d) + d * 4 + 4
    assert sum(weight.numel() for weight in net.parameters()) == count == 79_752_779
    with torch.device("meta"):
        original = ConditionalUNet(4, 4, 12, memory_tokens=4)
    more = 7 + 7 * 4 * d + 4 * d  # unknown values with their indicators, and the unknown flag
    assert sum(weight.numel() for weight in original.parameters()) == 79_758_916 + more


def test_an_untrained_network_predicts_zero(batch):
    net = ConditionalUNet(4, 3, 12, dim=8, dim_mults=(1, 2), heads=1, dim_head=4)
    assert torch.equal(net(**batch), torch.zeros(2, 3, 8, 12))


def test_a_gradient_reaches_every_parameter(net, batch):
    batch["clinical"][0, 2] = float("nan")
    net(**batch, drop_clinical=torch.tensor([False, False])).square().sum().backward()
    silent = {name for name, weight in net.named_parameters() if not weight.grad.abs().sum() > 0}
    assert silent == {"clinical_embedding.null"}
    net.zero_grad()
    net(**batch, drop_clinical=torch.tensor([False, True])).square().sum().backward()
    assert net.clinical_embedding.null.grad.abs().sum() > 0


def test_no_parameter_is_left_out_of_the_graph(net, batch):
    net(**batch).sum().backward()
    assert all(weight.grad is not None for weight in net.parameters())  # DDP waits for each


def test_unknown_is_learned_for_each_variable_and_is_not_zero(net, batch):
    unknown = {**batch, "clinical": batch["clinical"].clone()}
    unknown["clinical"][0, 2] = float("nan")
    output = net(**unknown)
    assert output.isfinite().all()
    output.square().sum().backward()
    assert net.clinical_embedding.unknown.grad.nonzero().flatten().tolist() == [2]
    for stand_in in (0.0, net.clinical_embedding.unknown[2].item()):  # the indicator tells it from its own value too
        said = {**batch, "clinical": batch["clinical"].clone()}
        said["clinical"][0, 2] = stand_in
        assert not torch.allclose(net(**said)[0], output[0], atol=1e-4)
        torch.testing.assert_close(net(**said)[1], output[1])


def test_everything_it_is_conditioned_on_matters(net, batch):
    output = net(**batch)
    changes = {
        "t": torch.tensor([4, 990]),
        "context": torch.cat([torch.randn(1, 12, 8, 12), batch["context"][1:]]),
        "clinical": torch.cat([torch.rand(1, 7), batch["clinical"][1:]]),
        "flag": torch.tensor([1, 1]),
    }
    for name, value in [*changes.items(), ("flag", torch.tensor([-1, 1]))]:
        changed = net(**{**batch, name: value})
        assert (changed[0] - output[0]).abs().max() > 1e-3, name
        torch.testing.assert_close(changed[1], output[1])


def test_a_dropped_vector_is_ignored(net, batch):
    other = {**batch, "clinical": torch.rand(2, 7)}
    dropped = torch.tensor([True, False])
    first, second = net(**batch, drop_clinical=dropped), net(**other, drop_clinical=dropped)
    torch.testing.assert_close(first[0], second[0])
    assert not torch.allclose(first[1], second[1])


def test_a_size_that_cannot_be_halved_is_refused(net, batch):
    with pytest.raises(ValueError, match=r"size \(8, 10\) does not fit: H and W must be multiples of 4"):
        net(**{**batch, "x": torch.randn(2, 4, 8, 10), "context": torch.randn(2, 12, 8, 10)})


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="full_attention has 1 entries: expected 2"):
        ConditionalUNet(4, 4, 12, dim_mults=(1, 2), full_attention=[True])
    with pytest.raises(ValueError, match="dim=7 is odd"):
        ConditionalUNet(4, 4, 12, dim=7)


def test_rms_norm_equals_the_formula():
    x, norm = torch.randn(2, 5, 3, 3), RMSNorm(5)
    torch.nn.init.normal_(norm.weight)
    pixel = x[1, :, 2, 0]
    slow = pixel / pixel.square().mean().sqrt() * norm.weight.flatten()
    torch.testing.assert_close(norm(x)[1, :, 2, 0], slow)


def projections(attention, x):
    qkv = torch.einsum("oc,bcyx->boyx", attention.to_qkv.weight.flatten(1), attention.norm(x))
    return qkv.flatten(2).unflatten(1, (3, 2, 4)).unbind(1)  # each (B, heads, dim_head, pixels)


def test_full_attention_equals_a_loop_over_pixels():
    attention, x = FullAttention(6, heads=2, dim_head=4), torch.randn(1, 6, 2, 3)
    query, key, value = projections(attention, x)
    read = torch.zeros(1, 2, 4, 6)
    for head in range(2):
        for pixel in range(6):
            weight = (query[0, head, :, pixel] @ key[0, head] / 2).softmax(0)
            read[0, head, :, pixel] = value[0, head] @ weight
    torch.testing.assert_close(attention(x), attention.to_out(read.reshape(1, 8, 2, 3)) + x)


def test_linear_attention_equals_a_loop_over_pixels():
    attention, x = LinearAttention(6, heads=2, dim_head=4), torch.randn(1, 6, 2, 3)
    query, key, value = projections(attention, x)
    read = torch.zeros(1, 2, 4, 6)
    for head in range(2):
        context = sum(torch.outer(key[0, head].softmax(1)[:, n], value[0, head][:, n]) for n in range(6))
        for pixel in range(6):
            read[0, head, :, pixel] = query[0, head, :, pixel].softmax(0) / 2 @ context
    torch.testing.assert_close(attention(x), attention.to_out(read.reshape(1, 8, 2, 3)) + x)


def test_time_embedding_spans_the_frequencies():
    embedding = sinusoidal_embedding(torch.tensor([0, 250]), 6)
    frequencies = torch.tensor([1, 1e-2, 1e-4])
    torch.testing.assert_close(embedding[1], torch.cat(((250 * frequencies).sin(), (250 * frequencies).cos())))
    torch.testing.assert_close(embedding[0], torch.tensor([0.0, 0, 0, 1, 1, 1]))
