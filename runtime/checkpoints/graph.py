"""Export the prediction of a checkpoint as a graph, in ONNX or in the format of torch.export.

The graph takes a batch as the datamodule makes it and returns what `export_step` returns. It is run on other images
than it was traced with and compared with the module; the file is written only if both agree.
"""

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from medzoo.files import replacing
from medzoo.runtime.build import instantiate
from medzoo.runtime.checkpoints import checkpoint
from medzoo.runtime.checkpoints.matching import match
from medzoo.runtime.composing.extras import install_hint
from medzoo.runtime.contracts import Exports, HasImages
from medzoo.runtime.errors import UserError

__all__ = ["export"]

log = logging.getLogger(__name__)

_TOLERANCE = 1e-4  # of a probability, since two programs sum in another order


class _Step(nn.Module):
    """The step as an `nn.Module`, which `torch.export` requires."""

    def __init__(self, module: Exports) -> None:
        super().__init__()
        self.module = module

    def forward(self, image: Tensor) -> Tensor:
        return self.module.export_step(image)


def export(ckpt_path: str | Path, output: str | Path, *, quantise: bool = False) -> tuple[Path, float]:
    """Write the prediction of a checkpoint as a graph.

    Args:
        ckpt_path: The checkpoint.
        output: A file that ends in `.onnx` or `.pt2`. ONNX files carry, as metadata, the names of classes, the shape of
            an image, and how intensities are prepared.
        quantise: Store weights as 8-bit integers; ONNX only.

    Returns:
        The file, and the largest difference of its output from that of the module on random images.

    Raises:
        UserError: If the checkpoint or the ending is wrong, or the model cannot be exported.
    """
    output = Path(output)
    if output.suffix not in (".onnx", ".pt2") or (quantise and output.suffix != ".onnx"):
        raise UserError(f"output={output}: expected a name that ends in .onnx, or in .pt2 without quantise=true")
    content = checkpoint.read(ckpt_path)
    config = checkpoint.trusted_config(content, ckpt_path)
    module = checkpoint.rebuild(config, content, ckpt_path)
    if not isinstance(module, Exports):
        raise UserError(f"{ckpt_path}: {type(module).__name__} cannot be exported: its prediction is not one graph")
    datamodule = instantiate(config["datamodule"], "datamodule")
    match(datamodule, content["medzoo"], test=False)
    step = _Step(module).eval()
    example, other = (torch.rand(count, *datamodule.image_shape) for count in (2, 3))
    with replacing(output) as partial:
        if output.suffix == ".pt2":
            predicted = _to_torch(step, example, partial, other)
        else:
            described = _description(content, config, datamodule)
            predicted = _to_onnx(step, example, partial, other, described, quantise=quantise)
        with torch.no_grad():
            difference = float((predicted - step(other)).abs().max())
        if difference > _TOLERANCE and not quantise:
            raise RuntimeError(f"the exported graph differs from the module by {difference:.2g}; nothing was written")
    return output, difference


def _graph(step: _Step, example: Tensor) -> torch.export.ExportedProgram:
    """The traced step, for any number of images."""
    with torch.no_grad():
        return torch.export.export(step, (example,), dynamic_shapes={"image": {0: torch.export.Dim("batch")}})


def _to_torch(step: _Step, example: Tensor, file: Path, other: Tensor) -> Tensor:
    torch.export.save(_graph(step, example), file)
    with torch.no_grad():
        return torch.export.load(file).module()(other)


def _to_onnx(
    step: _Step, example: Tensor, file: Path, other: Tensor, described: dict[str, str], *, quantise: bool
) -> Tensor:
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401 (torch writes ONNX with it)
        from onnxruntime.quantization import quantize_dynamic
    except ImportError as error:
        raise UserError(f"output={file.suffix}: {install_hint('onnx')} ({error})") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations of onnxscript
        program: Any = torch.onnx.export(
            _graph(step, example), input_names=["image"], output_names=["output"], dynamo=True, verbose=False
        )
    program.save(file, external_data=False)
    model = onnx.load(file)
    if quantise:
        model.graph.ClearField("value_info")  # shapes from before the quantiser transposes weights
        _give_own_weights(model.graph)
        quantize_dynamic(model, file, extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT})
        model = onnx.load(file)
    onnx.helper.set_model_props(model, described)
    onnx.save(model, file)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: other.numpy()})
    return torch.from_numpy(np.asarray(output))


def _give_own_weights(graph: Any) -> None:
    """Copy weights that several linear layers share (test-time flips): the quantiser transposes each in place."""
    weights, taken = {each.name: each for each in graph.initializer}, set()
    for node in (node for node in graph.node if node.op_type == "Gemm" and node.input[1] in weights):
        name = node.input[1]
        if name in taken:
            own = graph.initializer.add()
            own.CopyFrom(weights[name])
            own.name = node.input[1] = f"{name}_{node.name}"
        taken.add(name)


def _description(content: dict[str, Any], config: dict[str, Any], datamodule: HasImages) -> dict[str, str]:
    """What a program needs to prepare images and to read the output, as JSON."""
    facts = {
        "class_names": content["medzoo"].get("class_names"),
        "image_shape": list(datamodule.image_shape),
        "preparation": {name: config["datamodule"][name] for name in ("mean", "std") if name in config["datamodule"]}
        | {name: value for name, value in content["medzoo"]["datamodule"].items() if name == "intensities"},
    }
    return {f"medzoo.{name}": json.dumps(value) for name, value in facts.items()}
