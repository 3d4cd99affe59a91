"""GhostNet 1.0 and ResNet-50, classifying images one at a time on one CPU core.

The zoo's side is `lightning_module/net=ghostnet`, the peer `lightning_module/net=resnet50`, both with random weights:
at 28 pixels with the stems of the MedMNIST experiments, which keep the resolution, and at 224 pixels with the ImageNet
stems. Multiplications and additions are counted by `torch.utils.flop_counter`, which leaves out normalisation and
activation. Latency is the median over 30 single images on one thread, after five warm-up images; the networks take
turns. `ONNX` is the graph run by onnxruntime, if it is installed (`pip install -e '.[export]'`); its output is first
compared with the network's.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.tables.row import Row, print_rows
from medzoo.models import timm_network

__all__ = ["run"]

NAMES = ("ghostnet_100", "resnet50")
Run = Callable[[Tensor], object]


def run(*, sizes: Sequence[int] = (28, 224), repeats: int = 30) -> list[Row]:
    """Measure both networks.

    Args:
        sizes: Image edges in pixels; below 64, networks get the stem for small images.
        repeats: Number of timed images.

    Returns:
        Parameters, operations and latencies at each size.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [row for size in sizes for row in _compare(size, repeats)]
    finally:
        torch.set_num_threads(threads)


def _compare(size: int, repeats: int) -> list[Row]:
    image = torch.rand(1, 1, size, size)
    nets = [timm_network(name, in_channels=1, num_classes=2, small_stem=size < 64).eval() for name in NAMES]
    weights = [sum(weight.numel() for weight in net.parameters()) / 1e6 for net in nets]
    rows = [
        Row(f"{size} pixels: parameters", "million", *weights, goal=1.0, higher_is_better=False),
        Row(f"{size} pixels: operations", "GFLOP", *(_operations(net, image) for net in nets)),
    ]
    rows.append(Row(f"{size} pixels: latency, PyTorch", "ms", *_latencies(nets, image, repeats), remark="one thread"))
    graphs = [_onnx(net, image) for net in nets]
    if all(graphs):
        milliseconds = _latencies([graph for graph in graphs if graph], image, repeats)
        rows.append(Row(f"{size} pixels: latency, ONNX", "ms", *milliseconds, remark="one thread; equal outputs"))
    return rows


def _operations(net: nn.Module, image: Tensor) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(image)
    return counter.get_total_flops() / 1e9


@torch.no_grad()
def _latencies(runs: Sequence[Run], image: Tensor, repeats: int) -> list[float]:
    """Median milliseconds of each network; they take turns."""
    seconds: list[list[float]] = [[] for _ in runs]
    for number in range(repeats + 5):
        for one, taken in zip(runs, seconds, strict=True):
            began = time.perf_counter()
            one(image)
            if number >= 5:
                taken.append(time.perf_counter() - began)
    return [1000 * statistics.median(each) for each in seconds]


def _onnx(net: nn.Module, image: Tensor) -> Run | None:
    """The network run by onnxruntime; none if that is not installed."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 (torch writes ONNX with it)
    except ImportError:
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.onnx"
        torch.onnx.export(net, (image,), file, input_names=["image"], dynamo=True, external_data=False, verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    said = torch.from_numpy(session.run(None, {"image": image.numpy()})[0])
    with torch.no_grad():
        assert torch.allclose(said, net(image), atol=1e-3), "the ONNX graph and the network give different outputs"
    return lambda x: session.run(None, {"image": x.numpy()})


if __name__ == "__main__":
    print_rows("light_deployment", run())
