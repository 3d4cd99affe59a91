"""One of two processes that train three networks by DDP and in shards, and compare them; run by `test_sharding.py`."""

import sys
from pathlib import Path

import lightning as L
import timm
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
from torch import nn
from torch.utils._pytree import tree_leaves
from torch.utils.data import DataLoader, TensorDataset

from medzoo.callbacks import StepSeed
from medzoo.models import UNETRPP, ConditionalUNet
from medzoo.runtime.training.sharding import FullyShardedStrategy, blocks, is_sharded

QUIET = dict.fromkeys(("logger", "enable_progress_bar", "enable_model_summary"), False)


def networks():
    """By name, how a network is made, its inputs, and classes of its blocks."""
    torch.manual_seed(0)
    vit = {"img_size": 16, "patch_size": 8, "in_chans": 1, "num_classes": 2, "depth": 2, "embed_dim": 48}
    sizes = {"image_size": (32, 32), "patch_size": (2, 2), "features": (8, 16, 16, 16), "projections": (4, 4, 4, 4)}
    picture, larger, number = torch.randn(8, 1, 16, 16), torch.randn(8, 1, 32, 32), torch.arange(8)
    followup = (torch.randn(8, 2, 8, 8), number, torch.randn(8, 3, 8, 8), torch.rand(8, 7), number % 2)
    return {
        "vit": (lambda: timm.create_model("vit_tiny_patch16_224", num_heads=3, **vit), (picture,), {"Block"}),
        "unetrpp": (lambda: UNETRPP(2, 1, 2, depth=1, dropout=0.0, **sizes), (larger,), {"_Block"}),
        "hemexp": (
            lambda: ConditionalUNet(2, 2, 3, dim=8, dim_mults=(1, 2), heads=2, dim_head=4),
            followup,
            {"_Down", "_Up"},
        ),
    }


class Ones(L.LightningModule):
    """Teaches a network to answer with ones; a frozen layer stands for the part of an earlier stage."""

    def __init__(self, net):
        super().__init__()
        self.net, self.frozen, self.losses = net, nn.Linear(3, 3).requires_grad_(False), []

    def training_step(self, batch, batch_idx):
        loss = sum((out - 1).square().mean() for out in tree_leaves(self.net(*batch)))
        self.losses.append(loss.item())
        return loss

    def validation_step(self, batch, batch_idx):
        assert torch.isfinite(sum(out.sum() for out in tree_leaves(self.net(*batch))))

    def configure_optimizers(self):
        return torch.optim.AdamW([each for each in self.parameters() if each.requires_grad], lr=1e-3)


def fit(folder, network, inputs, strategy, start=None):
    """Six steps of four rows in each process, with a checkpoint after three; the module and its checkpoint."""
    torch.manual_seed(0)
    module = Ones(network())
    saves = ModelCheckpoint(folder, "{step}", every_n_train_steps=3, save_top_k=-1)
    batches = DataLoader(TensorDataset(*inputs), batch_size=4)
    trainer = L.Trainer(
        accelerator="cpu",
        devices=2,
        strategy=strategy,
        max_epochs=6,
        gradient_clip_val=0.5,
        callbacks=[EMAWeightAveraging(decay=0.9), StepSeed(seed=0), saves],
        default_root_dir=folder,
        **QUIET,
    )
    trainer.fit(module, batches, batches, ckpt_path=start, weights_only=True)
    return module, torch.load(folder / "step=6.ckpt", weights_only=True)


def agree(one, other, *, rtol, atol):
    for key in ("state_dict", "current_model_state", "optimizer_states", "averaging_state"):
        torch.testing.assert_close(
            one[key], other[key], rtol=rtol, atol=atol, msg=lambda text, key=key: f"{key}: {text}"
        )


def main(folder):
    for name, (network, inputs, kinds) in networks().items():
        assert kinds <= {type(part).__name__ for part in blocks(network())}, name
        plain, whole = fit(folder / name / "ddp", network, inputs, "ddp")
        module, shards = fit(folder / name / "fsdp", network, inputs, FullyShardedStrategy())
        assert is_sharded(module)
        local = sum(weight.to_local().numel() for weight in module.net.parameters())
        assert local < 0.6 * sum(weight.numel() for weight in plain.net.parameters()), "each keeps half"
        torch.testing.assert_close(module.losses, plain.losses, rtol=1e-5, atol=1e-6)
        agree(shards, whole, rtol=1e-3, atol=1e-4)
        assert not [
            each for each in tree_leaves(shards) if isinstance(each, torch.Tensor) and each.device.type != "cpu"
        ]
        Ones(network()).load_state_dict(shards["state_dict"])
        start = folder / name / "fsdp" / "step=3.ckpt"
        resumed, again = fit(folder / name / "resumed", network, inputs, FullyShardedStrategy(), start)
        assert resumed.losses == module.losses[3:]
        agree(again, shards, rtol=0, atol=0)
        print(name, "agrees", flush=True)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)  # Adam makes a step of a rounding error where a gradient is 0
    main(Path(sys.argv[1]))
