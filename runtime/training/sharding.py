"""Weights in shards: each process keeps a part of every large weight, its gradient and the state of its optimiser.

PyTorch's `fully_shard` (FSDP2) does the work. Lightning's `FSDPStrategy` wraps the older FSDP, which needs a GPU, and
its `ModelParallelStrategy` asks every module for a `configure_model`. Here a module is sharded as it is, and its
checkpoint is that of one process: whole weights under their own names.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer
from torch.utils._pytree import tree_map

__all__ = ["FullyShardedStrategy", "blocks", "is_sharded"]

_LEAST = 0.01
"""Smallest share of the weights that is worth a gathering of its own."""
_STEPS = ("training_step", "validation_step")


class FullyShardedStrategy(DDPStrategy):
    """Trains in shards; `trainer.strategy=fsdp` means this.

    The weights of a block are gathered for its forward and its backward pass, those outside of blocks for the step.
    Frozen weights stay whole. So does everything in test and prediction, which run on a module of their own.
    """

    def configure_ddp(self) -> None:
        """Shard the module, and the averages of its weights."""
        module = self.lightning_module
        assert module is not None
        for tensor in module.state_dict().values():
            torch.distributed.broadcast(tensor, 0)
        mesh = init_device_mesh(self.root_device.type, (self.world_size,))
        averages = [average.module for average in self._averages() if isinstance(average.module, nn.Module)]
        frozen = {name for name, weight in module.named_parameters() if not weight.requires_grad}
        for each in (*averages, module):
            _shard(each, mesh, frozen)
        for step in _STEPS:
            register_fsdp_forward_method(module, step)

    def on_validation_start(self) -> None:
        """Give all processes the batch statistics of the first one, which the checkpoint holds."""
        for each in (self.lightning_module, *self._averages()):
            for buffer in each.buffers() if each is not None else ():
                torch.distributed.broadcast(buffer, 0)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """The state as one process would have it."""
        return tree_map(_whole, getattr(optimizer, "optimizer", optimizer).state_dict())

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Take each process's part of the state of a checkpoint."""
        for optimizer, content in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            parts = {
                index: {name: _part(value, weights[index]) for name, value in state.items()}
                for index, state in content["state"].items()
            }
            optimizer.load_state_dict({**content, "state": parts})

    def _averages(self) -> list[nn.Module]:
        assert self.lightning_module is not None
        callbacks = self.lightning_module.trainer.callbacks  # type: ignore[attr-defined]
        kept = [callback._average_model for callback in callbacks if isinstance(callback, WeightAveraging)]
        return [average for average in kept if average is not None]


def is_sharded(module: nn.Module) -> bool:
    """Whether this process holds only a part of its weights."""
    return isinstance(module, FSDPModule)


def blocks(module: nn.Module) -> list[nn.Module]:
    """The parts whose weights are gathered together, such as the layers of a transformer.

    They are the outermost parts of a class that occurs several times, but for torch's own layers and small parts.

    Args:
        module: Any; frozen weights do not count.
    """
    size = {name: _size(part) for name, part in module.named_modules()}
    parts = {name: part for name, part in module.named_modules() if size[name] and not _is_of_torch(part)}
    times = Counter(type(part) for part in parts.values())
    chosen = [name for name, part in parts.items() if times[type(part)] > 1 and size[name] >= _LEAST * size[""]]
    return [parts[name] for name in chosen if not any(name.startswith(f"{other}.") for other in chosen)]


def _size(part: nn.Module) -> int:
    return sum(weight.numel() for weight in part.parameters() if weight.requires_grad)


def _is_of_torch(part: nn.Module) -> bool:
    return type(part).__module__.startswith("torch.")


def _shard(module: nn.Module, mesh: DeviceMesh, frozen: set[str]) -> None:
    whole = {weight for name, weight in module.named_parameters() if name in frozen}
    for part in (*blocks(module), module):
        fully_shard(part, mesh=mesh, reshard_after_forward=True, ignored_params=whole)
    module.register_state_dict_post_hook(_gather)


def _gather(module: nn.Module, state: dict[str, Any], prefix: str, _: object) -> None:
    """Let `state_dict` return whole weights, on the CPU; all processes have to call it."""
    state.update({name: _whole(value) for name, value in state.items() if name.startswith(prefix)})


def _whole(value: object) -> object:
    return value.full_tensor().cpu() if isinstance(value, DTensor) else value


def _part(value: object, weight: Tensor) -> object:
    if not isinstance(value, Tensor) or not isinstance(weight, DTensor) or value.shape != weight.shape:
        return value
    return distribute_tensor(value.to(weight.device), weight.device_mesh, weight.placements)
