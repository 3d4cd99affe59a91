"""One process of a group that finalizes an autoencoder and writes its state; started by `python -m`."""

import os
import sys
from pathlib import Path

import lightning as L
import torch

from medzoo.datamodules import FollowupDataModule
from medzoo.lightning_modules import AutoencoderModule
from medzoo.models.autoencoder import MultiHeadAutoencoderKL
from medzoo.models.losses.autoencoder import HemorrhageAutoencoderLoss
from medzoo.runtime.training.finalize import finalize


def finalized(cohort: Path, devices: int) -> dict[str, torch.Tensor]:
    """State of an autoencoder without training, finalized by one of `devices` processes."""
    L.seed_everything(0, verbose=False)
    net = MultiHeadAutoencoderKL(channels=(4, 8), num_res_blocks=1, norm_num_groups=4, decoder_features=4)
    optimizer = torch.optim.Adam
    module = AutoencoderModule(net, HemorrhageAutoencoderLoss(), optimizer, statistics_batches=3)
    split = {"val_hospitals": ["Emme"], "test_hospitals": ["Kander"]}
    data = FollowupDataModule(cohort, batches="slices", batch_size=4, image_size=32, **split)
    trainer = L.Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="ddp_find_unused_parameters_true" if devices > 1 else "auto",
        max_steps=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    if torch.distributed.is_initialized() and trainer.global_rank:
        torch.nn.init.ones_(module.latent_mean)  # what another process has is replaced
    finalize(trainer, module, data)
    return module.state_dict()


if __name__ == "__main__":
    cohort, folder = map(Path, sys.argv[1:])
    rank = os.environ["LOCAL_RANK"]
    torch.save(finalized(cohort, 2), folder / f"rank_{rank}.pt")
    torch.distributed.destroy_process_group()
