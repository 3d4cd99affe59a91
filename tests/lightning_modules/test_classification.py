from functools import partial

import lightning as L
import medmnist
import numpy as np
import pytest
import torch
from medmnist.evaluator import getACC, getAUC
from torch import nn
from torch.utils.data import DataLoader

from medzoo.lightning_modules import ClassificationModule
from medzoo.lightning_modules.classification import classification_metrics
from medzoo.models import ClassificationLoss

OFFICIAL = {
    "binary": "binary-class",
    "multiclass": "multi-class",
    "ordinal": "ordinal-regression",
    "multilabel": "multi-label, binary-class",
}


def scores(task, count=200, classes=4):
    rng = np.random.default_rng(7)
    classes = 2 if task == "binary" else classes
    prob = rng.dirichlet(np.ones(classes), count).round(2).astype(np.float32)  # rounded, so that scores tie
    if task == "multilabel":
        return prob, (rng.uniform(size=prob.shape) < prob).astype(int)
    return prob, np.array([rng.choice(classes, p=row / row.sum()) for row in prob.astype(float)])


@pytest.mark.parametrize("task", OFFICIAL)
def test_auc_and_acc_are_those_of_the_medmnist_evaluator(task):
    assert OFFICIAL[task] in {info["task"] for info in medmnist.INFO.values()}
    prob, label = scores(task)
    metrics = classification_metrics(task, prob.shape[1])
    for start in range(0, len(prob), 64):  # in batches, as in a run
        rows = slice(start, start + 64)
        shown = prob[rows, -1] if task == "binary" else prob[rows]
        metrics.update(torch.from_numpy(shown), torch.from_numpy(label[rows]))
    found = metrics.compute()
    labels = label if task == "multilabel" else label[:, None]
    assert found["auc"].item() == pytest.approx(getAUC(labels, prob, OFFICIAL[task]), abs=1e-6)
    assert found["acc"].item() == pytest.approx(getACC(labels, prob, OFFICIAL[task]), abs=1e-6)


def test_ordinal_tasks_have_a_quadratic_kappa():
    from sklearn.metrics import cohen_kappa_score

    prob, label = scores("ordinal")
    metrics = classification_metrics("ordinal", 4)
    metrics.update(torch.from_numpy(prob), torch.from_numpy(label))
    assert metrics.compute()["kappa"].item() == pytest.approx(
        cohen_kappa_score(label, prob.argmax(1), weights="quadratic"), abs=1e-5
    )


def module(task="binary", net=None, **options):
    net = net or nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    return ClassificationModule(
        net,
        ClassificationLoss(task),
        lambda params: torch.optim.SGD(params, lr=0.1),
        task=task,
        num_classes=2,
        **options,
    )


def test_flips_are_averaged_over_all_their_combinations():
    image = torch.randn(3, 1, 4, 4)
    flipping = module(tta_flips=[0, 1])
    views = [image, image.flip(2), image.flip(3), image.flip(2, 3)]
    slow = torch.stack([flipping.net(view).softmax(1) for view in views]).mean(0)
    predicted = flipping.predict_step({"image": image, "id": list("abc")}, 0)
    assert torch.allclose(predicted["prob"], slow)
    assert predicted["id"] == list("abc")


@pytest.mark.parametrize("axes", [[1, 1], [-1]])
def test_impossible_flips_are_refused(axes):
    with pytest.raises(ValueError, match="tta_flips"):
        module(tta_flips=axes)


def test_probabilities_are_float32_under_mixed_precision():
    with torch.autocast("cpu", torch.bfloat16):
        predicted = module().predict_step({"image": torch.randn(2, 1, 4, 4), "id": ["a", "b"]}, 0)
    assert predicted["prob"].dtype == torch.float32
    assert torch.allclose(predicted["prob"].sum(1), torch.ones(2))


def test_compiling_keeps_the_names_of_the_weights():
    assert list(module(compile=True).state_dict()) == list(module().state_dict())


def batches(count=4):
    generator = torch.Generator().manual_seed(0)
    for index in range(count):
        label = torch.randint(0, 2, (8,), generator=generator)
        image = torch.randn(8, 1, 4, 4, generator=generator) + label.view(-1, 1, 1, 1)
        yield {"image": image, "label": label, "id": [f"{index}_{i}" for i in range(8)]}


def fit(training, **options):
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = L.Trainer(**quiet, **options)
    loaders = [DataLoader(list(batches()), batch_size=None) for _ in range(2)]
    trainer.fit(training, *loaders)
    return trainer


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_it_learns_what_can_be_learnt(precision):
    trainer = fit(module(), max_epochs=30, precision=precision)
    assert trainer.callback_metrics["val/auc"] > 0.95
    assert set(module().metric_names) <= {*trainer.callback_metrics, "train/loss"}


def test_a_schedule_without_total_steps_gets_those_of_the_run():
    cycle = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=None)
    training = module(scheduler=cycle, scheduler_interval="step")
    trainer = fit(training, max_epochs=3)
    schedule = trainer.lr_scheduler_configs[0].scheduler
    assert schedule.total_steps == 12
    assert schedule.last_epoch == 12, "one step of the schedule for each of training"


def test_calibration_changes_what_is_predicted_and_lives_in_the_checkpoint():
    batch = {"image": torch.randn(5, 1, 4, 4), "id": list("abcde")}
    training = module(calibrate=True)
    before = training.predict_step(batch, 0)["prob"]
    training.calibration.take(slope=2.0, bias=np.array([0.0, 1.0]))
    after = training.predict_step(batch, 0)["prob"]
    assert torch.allclose(after[:, 1].logit(), 2 * before[:, 1].logit() + 1, atol=1e-5)
    assert training.state_dict()["calibration.slope"] == 2
