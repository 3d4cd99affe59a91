"""The presets of SepVAE, the contrastive VAE and the student's HCR + DLR have the objectives of the published codes.

Codes, reconstructions and noise are made by the formula of `tests/models/golden.py`; ours are means over images where
theirs are sums, hence the factors.
"""

import pytest
import torch

from models.losses import mutual_information
from runtime.build import instantiate
from tests.conftest import compose
from tests.models.golden import check, fill, numbers

LABELS = torch.arange(10) % 2


class Known(torch.nn.Module):
    """Encoders and a decoder that say what is known beforehand."""

    def __init__(self, codes, reconstruction, widths):
        super().__init__()
        self.codes, self.reconstruction, self.seen = codes, reconstruction, None
        for name, width in widths.items():
            setattr(self, name, width)

    def common(self, image):
        return self.codes[0]

    def salient(self, image):
        return self.codes[1]

    def encode(self, image):
        return self.codes[0]

    def decode(self, first, second):
        self.seen = torch.cat([first, second], 1)
        return self.reconstruction


def preset(tmp_path, experiment, net, stage=None):
    """The module that an experiment makes with the objective of the published code, around a network."""
    config = compose(tmp_path, f"experiment={experiment}", "lightning_module/objective=original")
    config = config.lightning_module
    for name in ("first_features", "second_features"):
        config.mi[name] = {"first_features": net.first, "second_features": net.second}[name]
    options = {name: value for name, value in config.items() if name not in ("net", "optimizer", "scheduler")}
    options |= {"task": "binary", "num_classes": 2}
    adam = {"_target_": "torch.optim.Adam", "_partial_": True}
    return instantiate({**options, "optimizer": adam, "scheduler": None}, "lightning_module", net=net)
