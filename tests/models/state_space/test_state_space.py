import math

import pytest
import torch

from medzoo.models.state_space import Mamba, MambaLayer, selective_scan

NAMES = ("u", "dt", "A", "B", "C")


def inputs(batch=2, length=37, channels=5, states=3, most=0.1, dtype=torch.float32, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(shape, generator=generator, dtype=dtype)

    dt = torch.rand(batch, length, channels, generator=generator, dtype=dtype) * most
    rates = -(draw(channels, states).exp() + 0.5)
    parts = (draw(batch, length, channels), dt, rates, draw(batch, length, states), draw(batch, length, states))
    return [part.requires_grad_() for part in parts]


def walked(parts, **options):
    """Output and gradients of a loss that weighs every output differently."""
    y = selective_scan(*parts, **options)
    weight = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view_as(y)
    return y.detach(), *torch.autograd.grad((y * weight).sum(), parts)


def test_the_loop_is_the_recurrence():
    u, dt, A, B, C = (part.detach() for part in inputs(batch=1, length=4, channels=1, states=2, dtype=torch.float64))
    state = [0.0, 0.0]
    for t in range(4):
        step, value = float(dt[0, t, 0]), float(u[0, t, 0])
        state = [math.exp(step * float(A[0, n])) * state[n] + step * value * float(B[0, t, n]) for n in range(2)]
        expected = sum(float(C[0, t, n]) * state[n] for n in range(2))
        assert selective_scan(u, dt, A, B, C, method="loop")[0, t, 0].item() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("most", [0.1, 1.0, 5.0])
@pytest.mark.parametrize("chunk", [None, 1, 2, 7, 36, 37, 100])
def test_chunks_give_what_the_loop_gives(chunk, most):
    parts = inputs(most=most)
    said, true = walked(parts, method="chunked", chunk=chunk), walked(parts, method="loop")
    for name, one, other in zip(("y", *NAMES), said, true, strict=True):
        assert torch.isfinite(one).all()
        assert (one - other).abs().max() <= 1e-5 * other.abs().max(), name


@pytest.mark.parametrize("chunk", [1, 4, 9])
def test_gradients_are_those_of_finite_differences(chunk):
    parts = inputs(batch=2, length=9, channels=2, states=2, most=1.0, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda *p: selective_scan(*p, method="chunked", chunk=chunk), parts)


def test_a_long_sequence_has_a_state_that_forgets():
    """A constant input drives the state to its fixed point, dt u B / (1 - exp(dt A)), and dt = 0 changes nothing."""
    length, dt, rate = 20_000, 0.05, -2.0
    ones = torch.ones(1, length, 1)
    y = selective_scan(ones, dt * ones, torch.tensor([[rate]]), ones, ones)
    assert y[0, -1, 0].item() == pytest.approx(dt / (1 - math.exp(dt * rate)), rel=1e-5)
    paused = selective_scan(
        ones, torch.cat([dt * ones[:, :100], 0 * ones[:, 100:]], 1), torch.tensor([[rate]]), ones, ones
    )
    assert torch.allclose(paused[0, 100:], paused[0, 99])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_does_not_touch_the_scan(dtype):
    parts = [part.detach() for part in inputs(most=5.0)]
    expected = selective_scan(*parts)
    with torch.autocast("cpu", dtype):
        assert torch.equal(selective_scan(*parts), expected)
        half = selective_scan(*(part.to(dtype) for part in parts))
    assert half.dtype == torch.float32
    assert torch.isfinite(half).all()


def test_nothing_has_the_size_of_all_states():
    """The sizes of all tensors that the scan makes, forward and backward, are watched."""
    length, channels, states = 4096, 32, 16
    largest = 0

    class Watch(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
            nonlocal largest
            out = function(*arguments, **(keywords or {}))
            if isinstance(out, torch.Tensor):
                largest = max(largest, out.numel())
            return out

    parts = inputs(1, length, channels, states)
    with Watch():
        selective_scan(*parts, method="chunked", chunk=256).sum().backward()
    assert largest < length * channels * states / 8


def test_shapes_that_do_not_fit_are_told():
    u, dt, A, B, C = inputs()
    with pytest.raises(ValueError, match=r"B has the shape \(2, 37, 2\).*needs \(2, 37, 3\)"):
        selective_scan(u, dt, A, B[..., :2], C)


def test_block_is_causal_and_keeps_the_names_of_its_weights():
    torch.manual_seed(0)
    block, x = Mamba(8), torch.randn(2, 20, 8)
    names = {"in_proj.weight", "conv1d.weight", "conv1d.bias", "x_proj.weight", "dt_proj.weight", "dt_proj.bias"}
    assert set(block.state_dict()) == names | {"A_log", "D", "out_proj.weight"}
    later = x.clone()
    later[:, 12:] += 1
    assert torch.allclose(block(x)[:, :12], block(later)[:, :12], atol=1e-6)
    assert not torch.allclose(block(x)[:, 12:], block(later)[:, 12:])


def test_steps_start_between_a_thousandth_and_a_tenth():
    torch.manual_seed(0)
    dt = torch.nn.functional.softplus(Mamba(64).dt_proj.bias)
    assert dt.min() >= 1e-3 * 0.99
    assert dt.max() <= 1e-1 * 1.01
    assert dt.log10().mean().item() == pytest.approx(-2, abs=0.15), "evenly over the logarithm"


@pytest.mark.parametrize(
    ("channels", "millions"), [(32, 0.0099), (64, 0.0326), (128, 0.116), (256, 0.438), (320, 0.675)]
)
def test_parameters_are_as_many_as_in_u_mamba(channels, millions):
    assert sum(p.numel() for p in MambaLayer(channels).parameters()) / 1e6 == pytest.approx(millions, rel=0.01)


def test_layer_takes_pixels_in_rows_and_any_size():
    torch.manual_seed(0)
    layer = MambaLayer(4)
    for size in ((6, 5), (2, 3, 4)):
        x = torch.randn(2, 4, *size)
        rows = x.reshape(2, 4, -1).transpose(1, 2)
        assert torch.allclose(layer(x), layer.mamba(layer.norm(rows)).transpose(1, 2).reshape(x.shape), atol=1e-6)


def test_channels_as_tokens_lock_the_size():
    layer = MambaLayer(12, tokens=6)
    assert layer(torch.randn(1, 12, 2, 3)).shape == (1, 12, 2, 3)
    with pytest.raises(ValueError, match=r"of 6 pixels; this image of \(2, 4\) has 8"):
        layer(torch.randn(1, 12, 2, 4))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_layer_under_autocast_is_as_exact_as_its_input(dtype):
    torch.manual_seed(0)
    layer, x = MambaLayer(8, residual=True), torch.randn(1, 8, 5, 7, 6)
    with torch.autocast("cpu", dtype):
        said = layer(x.to(dtype))
    assert said.dtype == dtype
    assert (said.float() - layer(x)).abs().max() < 0.03
