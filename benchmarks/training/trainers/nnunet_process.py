"""nnU-Net 2.8's own preparation, trainer and predictor, on one thread of the CPU: `... told.json`.

Given are the plan, the cases, the steps and the seed; all else is nnU-Net's: preparation, patches, augmentation, loss,
optimiser, schedule and sliding windows. It trains without checkpoints and a validation of whole cases, which the zoo
does not do here either, and predicts without mirroring, as the zoo does here.
"""

import json
import os
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["main"]

_ID, _DATASET = 1, "Dataset001_Bench"


def main(file: Path) -> None:
    """Train and test as the file says; writes `result.json` beside it."""
    told = json.loads(file.read_text())
    run, raw = Path(told["run"]), Path(told["raw"])
    torch.set_num_threads(1)
    for name in ("raw", "preprocessed", "results"):
        os.environ[f"nnUNet_{name}"] = str(run / name)
        (run / name).mkdir()
    os.environ |= {"nnUNet_n_proc_DA": "0", "nnUNet_compile": "f"}
    (run / "raw" / _DATASET).symlink_to(raw.resolve())
    plans, description = _prepared(told, raw, run / "preprocessed" / _DATASET)
    seconds, trainer = _trained(told, plans, description)
    dice = _tested(told, raw, trainer, description)
    (run / "result.json").write_text(json.dumps({"dice": dice, "cpu_s": seconds}))


def _prepared(told: dict[str, Any], raw: Path, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """nnU-Net's fingerprint and preprocessed cases; returns the plans and dataset.json."""
    from nnunetv2.experiment_planning.dataset_fingerprint.fingerprint_extractor import DatasetFingerprintExtractor
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor

    description = json.loads((raw / "dataset.json").read_text())
    DatasetFingerprintExtractor(_ID, num_processes=1).run()
    plans = _plans(told, json.loads((folder / "dataset_fingerprint.json").read_text()), description)
    for name, content in (
        ("plans.json", plans),
        ("dataset.json", description),
        ("splits_final.json", [{part: told["split"][part] for part in ("train", "val")}]),
    ):
        (folder / name).write_text(json.dumps(content))
    DefaultPreprocessor(verbose=False).run(_ID, told["configuration"], "plans", num_processes=1)
    return plans, description


def _plans(told: dict[str, Any], fingerprint: dict[str, Any], description: dict[str, Any]) -> dict[str, Any]:
    """The plan in nnU-Net's form, with all that its planner writes for one channel."""
    plan, channel = told["plan"], description["channel_names"]["0"]
    axes, stages = len(plan["patch"]), len(plan["features"])
    resampling: dict[str, Any] = {}
    for name, order in (("data", 3), ("seg", 1), ("probabilities", 1)):
        resampling[f"resampling_fn_{name}"] = "resample_data_or_seg_to_shape"
        given = {"is_seg": name == "seg", "order": order, "order_z": 0, "force_separate_z": None}
        resampling[f"resampling_fn_{name}_kwargs"] = given
    network = {
        "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": plan["features"],
            "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
            "kernel_sizes": plan["kernels"],
            "strides": plan["strides"],
            "n_conv_per_stage": [2] * stages,
            "n_conv_per_stage_decoder": [2] * (stages - 1),
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{axes}d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }
    configuration = {
        "data_identifier": f"plans_{told['configuration']}",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": plan["batch_size"],
        "patch_size": plan["patch"],
        "spacing": plan["spacing"],
        "normalization_schemes": ["CTNormalization" if channel.lower() == "ct" else "ZScoreNormalization"],
        "use_mask_for_norm": [False],
        **resampling,
        "architecture": network,
        "batch_dice": axes == 2,
    }
    return {
        "dataset_name": _DATASET,
        "plans_name": "plans",
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": fingerprint["foreground_intensity_properties_per_channel"],
        "configurations": {told["configuration"]: configuration},
    }


def _trained(told: dict[str, Any], plans: dict[str, Any], description: dict[str, Any]) -> tuple[float, Any]:
    """CPU seconds of training, and the trainer."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    random.seed(told["seed"])
    np.random.seed(told["seed"])  # noqa: NPY002 (nnU-Net draws from it)
    torch.manual_seed(told["seed"])
    given = {**plans, "continue_training": False}
    trainer = nnUNetTrainer(given, told["configuration"], 0, description, torch.device("cpu"))
    trainer.num_epochs, trainer.num_iterations_per_epoch = told["epochs"], told["steps"] // told["epochs"]
    trainer.num_val_iterations_per_epoch, trainer.disable_checkpointing = 1, True
    trainer.initialize()
    began = time.process_time()
    trainer.run_training()
    return time.process_time() - began, trainer


def _tested(told: dict[str, Any], raw: Path, trainer: Any, description: dict[str, Any]) -> list[float]:
    """Dice of every test case on the grid of its file, by the zoo's measure."""
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    from medzoo.evaluation.measures.segmentation import case_scores

    trainer.set_deep_supervision_enabled(False)
    predictor = nnUNetPredictor(use_mirroring=False, device=torch.device("cpu"), allow_tqdm=False)
    managers = trainer.plans_manager, trainer.configuration_manager
    predictor.manual_initialization(trainer.network, *managers, None, description, "nnUNetTrainer", None)
    reader, classes, part = SimpleITKIO(), [*description["labels"]], "Ts" if (raw / "imagesTs").is_dir() else "Tr"
    scores = []
    for case in told["split"]["test"]:
        image, facts = reader.read_images([str(raw / f"images{part}" / f"{case}_0000.nii.gz")])
        label, _ = reader.read_seg(str(raw / f"labels{part}" / f"{case}.nii.gz"))
        prediction = predictor.predict_single_npy_array(image, facts)
        scores.append(case_scores(prediction, label[0].astype(int), (1, 1, 1), classes)[f"dice_{classes[1]}"])
    return [score for score in scores if not np.isnan(score)]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
