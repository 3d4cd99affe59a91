"""Weights and inputs that a formula makes, so that a network can be held against numbers of the published one.

Entry i of the tensor with seed s is a hash of both in [-1, 1), scaled by what the tensor is. `golden.json` holds what
the published code gave for them, measured once in float64; order and names of parameters follow the published code.
"""

import json
import math
import re
from pathlib import Path

import torch
from torch import Tensor, nn

PRIME = 65519
VALUES = json.loads(Path(__file__).with_suffix(".json").read_text())
SCALES = {  # by kind: of a pattern in [-1, 1), as many numbers as the shape has, the first side of it
    "weight": lambda u, inputs: 2 * u / math.sqrt(inputs),
    "scale": lambda u, _: 1 + 0.3 * u,
    "bias": lambda u, _: 0.3 * u,
    "variance": lambda u, _: 1 + 0.5 * u,
    "table": lambda u, _: 0.5 * u,
    "delta": lambda u, _: 0.5 * u - 2,
    "input": lambda u, _: 1.5 * u,
    "narrow": lambda u, _: 0.75 * u,
    "wide": lambda u, _: 2.5 * u,
    "share": lambda u, _: 0.5 + 0.5 * u,
}
KINDS = [  # the first that fits a name; the others are weights, those of norms have one axis
    (r"running_var$", "variance"),
    (r"dt_proj\.bias$", "delta"),
    (r"memory$|mem_kv$", "wide"),
    (r"A_log$|position$|spline_|attention\.bias$|^null_|^flag_embed|\.null$", "table"),
    (r"running_mean$|bias$", "bias"),
    (r"temperature$|\.scale$|\.D$|norm\w*\.g$|to_out\.1\.g$", "scale"),
]


def numbers(kind: str, seed: int, *shape: int) -> Tensor:
    """Float64 numbers of a shape."""
    count = math.prod(shape)
    k = (torch.arange(1, count + 1) + 1009 * seed) % PRIME
    u = 2 * ((k * k % PRIME + seed) * k % PRIME).double() / PRIME - 1
    return SCALES[kind](u, count // shape[0] if shape else 1).view(shape)


def kind_of(name: str, shape: tuple[int, ...]) -> str:
    """What a parameter is, by its name and shape."""
    found = next((kind for pattern, kind in KINDS if re.search(pattern, name)), None)
    return found or ("scale" if len(shape) == 1 else "weight")


def fill(net: nn.Module, order: str) -> nn.Module:
    """Give a network its weights; seeds count the parameters in the order of the published code.

    Args:
        net: The network.
        order: Beginnings of names, each of which stands for all parameters below it that have not come yet; of names
            joined by `+` the tensors lie one after another in one of the published code.

    Returns:
        The network, in float64 and evaluation mode. Parameters that `order` does not name are 0.
    """
    net = net.double().eval()
    state = net.state_dict()
    left = [name for name in state if not name.endswith("num_batches_tracked")]
    for name in left:
        state[name] = torch.zeros_like(state[name])
    seed = 0
    for start in order.split():
        groups = [start.split("+")] if "+" in start else [[n] for n in left if n == start or n.startswith(f"{start}.")]
        assert groups, f"nothing begins with {start}"
        for names in groups:
            seed += 1
            _place(state, names, seed)
            left = [name for name in left if name not in names]
    net.load_state_dict(state)
    return net


def _place(state: dict[str, Tensor], names: list[str], seed: int) -> None:
    shapes = [tuple(state[name].shape) for name in names]
    if names[0].endswith("attention.bias"):
        state[names[0]] = _bias_table(seed, *shapes[0])
        return
    rows = [shape[0] for shape in shapes]
    whole = numbers(kind_of(names[0], shapes[0]), seed, sum(rows), *shapes[0][1:])
    state |= zip(names, whole.split(rows), strict=True)


def _bias_table(seed: int, heads: int, *sides: int) -> Tensor:
    """nnFormer's table: several offsets share a row, for its strides are not those of the window."""
    table = numbers("table", seed, math.prod(sides), heads)
    wide = [(side + 1) // 2 for side in sides]
    z, y, x = torch.meshgrid(*(torch.arange(side) for side in sides), indexing="ij")
    return table[(3 * wide[1] - 1) * z + (2 * wide[1] - 1) * y + x].movedim(-1, 0)


def check(name: str, outputs: dict[str, Tensor], tolerance: float) -> None:
    """Hold outputs against the published ones; differences are judged by `tolerance` times the largest value."""
    assert outputs.keys() == VALUES[name].keys()
    for head, output in outputs.items():
        golden, flat = VALUES[name][head], output.detach().double().flatten()
        assert list(output.shape) == golden["shape"], f"{name}, {head}"
        said = [*flat[golden["at"]], flat.mean(), flat.std(correction=0), flat.abs().mean()]
        expected = [*golden["values"], golden["mean"], golden["std"], golden["mean_abs"]]
        largest = max(golden["max_abs"], 1e-12)
        worst = max(abs(float(a) - b) for a, b in zip(said, expected, strict=True)) / largest
        assert worst <= tolerance, f"{name}, {head}: off by {worst:.1e} of the largest value"
