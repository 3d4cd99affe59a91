"""Parts that run otherwise on a GPU: the selective scan, fused optimisers, batches in pinned memory."""

import importlib.util

import pytest
import torch


def scan_step(method, device, dtype=torch.float32):
    """Output and gradients of a scan on given inputs, on the CPU in float64."""
    from medzoo.models.state_space import selective_scan

    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 700, 32), (2, 700, 32), (32, 16), (2, 700, 16), (2, 700, 16)]
    u, dt, A, B, C = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    parts = [part.to(device, dtype).requires_grad_() for part in (u, 0.1 * dt.sigmoid(), -A.exp(), B, C)]
    y = selective_scan(*parts, method=method)
    y.square().sum().backward()
    return [part.detach().cpu().double() for part in (y, *(part.grad for part in parts))]


@pytest.mark.parametrize("method", ["chunked", "kernel"])
def test_a_scan_on_the_device_is_the_reference(method, device):
    if method == "kernel" and importlib.util.find_spec("mamba_ssm") is None:
        pytest.skip("no mamba_ssm")
    for ours, reference in zip(scan_step(method, device), scan_step("loop", "cpu", torch.float64), strict=True):
        assert (ours - reference).abs().max() <= 1e-4 * reference.abs().max()


@pytest.mark.parametrize("kind", ["Adam", "AdamW", "SGD"])
def test_a_fused_optimiser_takes_the_steps_of_a_plain_one(kind, device):
    weights = []
    for fused in (False, True):
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Linear(16, 64), torch.nn.ReLU(), torch.nn.Linear(64, 4)).to(device)
        optimizer = getattr(torch.optim, kind)(net.parameters(), lr=1e-2, fused=fused)
        for step in range(5):
            optimizer.zero_grad()
            net(torch.full((8, 16), float(step), device=device)).square().mean().backward()
            optimizer.step()
        weights.append(torch.cat([weight.detach().flatten() for weight in net.parameters()]))
    torch.testing.assert_close(*weights, rtol=1e-5, atol=1e-6)


@pytest.mark.cuda_only
def test_a_batch_in_pinned_memory_reaches_the_device_unchanged(device):
    image = torch.randn(64, 3, 64, 64)
    pinned = image.pin_memory()
    assert pinned.is_pinned()
    assert torch.equal(pinned.to(device, non_blocking=True).cpu(), image)
