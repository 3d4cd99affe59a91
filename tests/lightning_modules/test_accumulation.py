"""Several optimisers accumulate, clip and exchange gradients as Lightning does with one."""

import os
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.utils.data import DataLoader

from medzoo.lightning_modules.optimization import OptimizedModule
from tests.conftest import ROOT

SGD = partial(torch.optim.SGD, lr=0.5)


class Pair(OptimizedModule):
    """Two layers with an optimiser each; or both with one."""

    def __init__(self, several: bool) -> None:
        super().__init__(SGD)
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 1)
        self.automatic_optimization = not several

    @property
    def networks(self) -> list[nn.Module]:
        return [self.first, self.second]

    def training_step(self, batch: dict, batch_idx: int) -> torch.Tensor:
        loss = self.first(batch["x"]).tanh().square().mean() + self.second(batch["x"]).square().mean()
        if self.automatic_optimization:
            return loss
        for part, net in enumerate(self.networks):
            with self.learning(part):
                output = net(batch["x"])
                self.descend(part, (output.tanh() if part == 0 else output).square().mean())
        return loss

    def configure_optimizers(self) -> object:
        if self.automatic_optimization:
            return super().configure_optimizers()
        return [self.made(self._optimizer, net.parameters()) for net in self.networks]


def batches(size, count):
    rows = torch.randn(size * count, 3, generator=torch.Generator().manual_seed(1))
    return DataLoader([{"x": part} for part in rows.split(size)], batch_size=None)


def weights(several, data, **trainer):
    module = Pair(several)
    quiet = ["logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"]
    L.Trainer(accelerator="cpu", **({"max_epochs": 2} | dict.fromkeys(quiet, False) | trainer)).fit(module, data)
    return torch.cat([weight.detach().flatten() for weight in module.parameters()])


def test_two_half_batches_step_as_one_whole():
    whole = weights(True, batches(8, 3))
    torch.testing.assert_close(weights(True, batches(4, 6), accumulate_grad_batches=2), whole)
    assert not torch.equal(whole, weights(True, batches(4, 6)))


@pytest.mark.parametrize("options", [{"accumulate_grad_batches": 2}, {"accumulate_grad_batches": 4},
                                     {"gradient_clip_val": 1e-2, "gradient_clip_algorithm": "value"}])  # fmt: skip
def test_several_optimisers_step_when_one_would(options):
    torch.testing.assert_close(weights(True, batches(4, 6), **options), weights(False, batches(4, 6), **options))


def test_the_trainer_gets_its_settings_back():
    module, trainer = Pair(True), L.Trainer(accelerator="cpu", max_steps=1, accumulate_grad_batches=2, logger=False,
                                            enable_checkpointing=False, enable_progress_bar=False)  # fmt: skip
    trainer.fit(module, batches(4, 2))
    assert (trainer.accumulate_grad_batches, trainer.global_step) == (2, 1)


def main(file: str) -> None:
    """One of two processes: each takes every other batch; the first writes the weights and the reductions."""
    reduced = []

    def counted(state: object, bucket: torch.distributed.GradBucket) -> torch.futures.Future[torch.Tensor]:
        reduced.append(1)
        return allreduce_hook(None, bucket)

    class Counts(L.Callback):
        def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
            trainer.strategy.model.register_comm_hook(None, counted)

    rank, world = int(os.environ["LOCAL_RANK"]), 2
    mine = [batch for index, batch in enumerate(batches(4, 8)) if index % world == rank]
    found = weights(
        True,
        DataLoader(mine, batch_size=None),
        devices=2,
        strategy=DDPStrategy(find_unused_parameters=True, process_group_backend="gloo"),
        callbacks=[Counts()],
        accumulate_grad_batches=2,
        use_distributed_sampler=False,
        max_epochs=1,
    )
    if rank == 0:
        torch.save({"weights": found, "reduced": len(reduced)}, file)


def test_two_processes_step_as_one_and_exchange_gradients_once_a_step(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    group = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "NODE_RANK": "0", "WORLD_SIZE": "2"}
    command = [sys.executable, "-m", "tests.lightning_modules.test_accumulation", str(tmp_path / "found.pt")]
    ranks = [
        subprocess.Popen(command, cwd=ROOT, env={**os.environ, **group, "LOCAL_RANK": str(rank)}) for rank in (0, 1)
    ]
    assert [process.wait(timeout=240) for process in ranks] == [0, 0]
    found = torch.load(tmp_path / "found.pt")
    torch.testing.assert_close(found["weights"], weights(True, batches(16, 2), max_epochs=1))
    assert found["reduced"] == 2 * 2, "two optimisers, two steps of two batches each"


if __name__ == "__main__":
    main(str(Path(sys.argv[1])))
