"""The module of fusions: what it trains, takes over, keeps and says."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from medzoo.evaluation.regression.breslow import fit_baseline_survival
from medzoo.lightning_modules import FusionModule
from medzoo.models import ContrastiveAlignment, CoxLoss, CrossFusion, LateFusion, TableDecoder, TableEncoder
from medzoo.models.fusion import summed_evidence

SIZES = {"ct": 6, "genomics": 9}
NAMES = tuple(SIZES)


def module(fusion=CrossFusion, **options):
    torch.manual_seed(0)
    encoders = {name: TableEncoder(features=width, dim=8, hidden=8, dropout=0.0) for name, width in SIZES.items()}
    given = {"modalities": NAMES, "num_classes": 2, "dim": 8}
    fused = fusion(modalities=NAMES, num_classes=2, dim=8)
    return FusionModule({**encoders, "mr": None}, fused, torch.optim.SGD, **given, **options)


def batch(count=10, seed=1):
    torch.manual_seed(seed)
    present = torch.rand(count, 2) > 0.3
    present[:, 0] |= ~present.any(1)
    return {
        **{name: torch.randn(count, width) for name, width in SIZES.items()},
        "present": present,
        "label": torch.arange(count) % 2,
        "time": torch.rand(count) * 60,
        "event": torch.arange(count) % 3 > 0,
        "id": [f"p{index}" for index in range(count)],
    }


def terms(net, given):
    return net.eval()._terms(given, given["present"])[-1]


def test_the_loss_is_the_sum_of_what_the_docstring_says():
    align = ContrastiveAlignment(modalities=NAMES, dim=8)
    decoders = {"genomics": TableDecoder(dim=8, features=9), "mr": None}
    options = {"unimodal_weight": 0.7, "survival_weight": 0.4, "ties": "efron", "alignment": align}
    net, given = module(alignment_weight=0.2, decoders=decoders, reconstruction_weight=0.3, **options), batch()
    found = terms(net, given)
    output, _, tokens = net(given)

    def task(said, rows):
        cox = CoxLoss("efron")(said[:, 2], given["time"][rows], given["event"][rows])
        return F.cross_entropy(said[:, :2], given["label"][rows]) + 0.4 * cox

    own = [task(net.net.heads[name](tokens[rows, m]), rows) for m, (name, rows) in enumerate(
        zip(NAMES, given["present"].T, strict=True))]  # fmt: skip
    rows = given["present"][:, 1]
    expected = {
        "fusion": task(output, slice(None)),
        "unimodal": 0.7 * sum(own) / 2,
        "alignment": 0.2 * align(tokens, given["present"]),
        "reconstruction": 0.3
        * F.mse_loss(decoders["genomics"](tokens[rows, 1]), given["genomics"][rows])
        / given["genomics"][rows].var(),
    }
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)
    torch.testing.assert_close(found["loss"], sum(expected.values()))


def test_terms_without_weight_are_left_out():
    assert {*terms(module(unimodal_weight=0.0), batch())} == {"fusion", "loss"}
    assert {*terms(module(fusion_weight=0.0), batch())} == {"unimodal", "loss"}


@pytest.mark.parametrize("fusion", [CrossFusion, LateFusion])
def test_nan_in_absent_modalities_reaches_neither_loss_nor_gradient(fusion):
    decoders = {name: TableDecoder(dim=8, features=width) for name, width in SIZES.items()}
    options = {"alignment": ContrastiveAlignment(modalities=NAMES, dim=8), "alignment_weight": 1.0}
    net = module(fusion, decoders=decoders, reconstruction_weight=1.0, survival_weight=1.0, **options)
    given = batch()
    clean = terms(net, given)["loss"]
    spoilt = dict(given)
    for index, name in enumerate(NAMES):
        spoilt[name] = given[name].where(given["present"][:, [index]], math.nan)
    loss = terms(net, spoilt)["loss"]
    assert torch.equal(loss, clean)
    loss.backward()
    assert all(weight.grad.isfinite().all() for weight in net.parameters() if weight.grad is not None)


def test_prediction_says_probabilities_risks_weights_and_ids_without_truth():
    net, given = module(), batch()
    for name in ("label", "time", "event"):
        del given[name]
    said = net.eval().predict_step(given, 0)
    assert {*said} == {"id", "prob", "risk", "weights", "present"}
    torch.testing.assert_close(said["prob"].sum(1), torch.ones(10))
    assert said["id"] == [f"p{index}" for index in range(10)]


def test_a_stage_takes_over_encoders_heads_and_decoders():
    decoders = [{"ct": TableDecoder(dim=8, features=6)} for _ in range(2)]
    before, after = (module(decoders=each, reconstruction_weight=1.0) for each in decoders)
    for weight in before.parameters():
        nn.init.normal_(weight)
    after.receive({"unimodal": before})
    mine, theirs = after.state_dict(), before.state_dict()
    for name in mine:
        taken = name.startswith(("net.encoders", "net.heads", "decoders"))
        assert torch.equal(mine[name], theirs[name]) or not taken, name
    assert not torch.equal(mine["net.fusion.absent"], theirs["net.fusion.absent"])


def test_frozen_encoders_need_a_stage_and_do_not_learn():
    net = module(freeze_encoders=True)
    with pytest.raises(ValueError, match="stage named unimodal"):
        net.receive({})
    net.train()._terms(batch(), batch()["present"])[-1]["loss"].backward()
    assert all(weight.grad is None for part in (net.net.encoders, net.net.heads) for weight in part.parameters())
    assert all(weight.grad is not None for weight in net.net.fusion.parameters())
    assert not net.net.encoders.training


def test_what_does_not_fit_is_told():
    with pytest.raises(ValueError, match=r"give lightning_module\.alignment"):
        module(alignment_weight=0.1)
    given = batch()
    del given["time"]
    with pytest.raises(ValueError, match="survival_weight=0"):
        terms(module(survival_weight=0.3), given)
    given["present"][4] = False
    with pytest.raises(ValueError, match="row 4"):
        terms(module(), given)


def test_monitors_are_those_that_are_logged():
    assert "val/c_index" in module(survival_weight=0.1).metric_names
    assert "val/c_index" not in module().metric_names


def cohort(given):
    """A datamodule of one batch, which is every split."""
    table = {"label": given["label"].numpy(), "present": given["present"].numpy()}
    return SimpleNamespace(ordered_dataloader=lambda split: [given], table=lambda split: table)


def test_survival_is_fitted_to_the_training_patients_and_kept():
    net, given = module(survival_weight=1.0), batch(200)
    nn.init.normal_(net.net.fusion.head[-1].weight)
    net.eval().finalize(cohort(given))
    risk = net.predict_step(given, 0)["risk"].detach()
    expected = fit_baseline_survival(given["time"].numpy(), given["event"].numpy(), risk.numpy())
    for name, numbers in expected.items():
        np.testing.assert_allclose(getattr(net.survival, name).numpy(), numbers, rtol=1e-6)
    again = module(survival_weight=1.0)
    again.load_state_dict(net.state_dict())
    asked = net.survival.asked
    assert torch.equal(again.survival(risk, asked), net.survival(risk, asked))


def test_survival_alone_reads_no_class_and_predicts_who_survives():
    net, given = module(classification_weight=0.0, survival_weight=0.5, unimodal_weight=0.0), batch(200)
    loss = terms(net, given)["loss"]
    torch.testing.assert_close(loss, 0.5 * CoxLoss()(net(given)[0][:, -1], given["time"], given["event"]))
    assert torch.equal(terms(net, given | {"label": torch.full((200,), -1)})["loss"], loss)
    assert net.metric_names == ["train/loss", "val/loss", "val/c_index"]
    net.finalize(cohort(given))
    assert not bool(net.baselines.clinical.model.fitted)
    said = net.predict_step(given, 0)
    alive = net.survival(said["risk"], net.survival.asked[-1:])[:, 0].float()
    torch.testing.assert_close(said["prob"], torch.stack([alive, 1 - alive], 1))
    for options in ({}, {"survival_weight": 1.0, "shrink": True}):
        with pytest.raises(ValueError, match="classification_weight=0 trains survival alone"):
            module(classification_weight=0.0, **options)


def test_the_share_of_the_fusion_is_fitted_to_validation_and_kept():
    net = module(shrink=True)
    nn.init.normal_(net.net.fusion.head[-1].weight, std=20.0)  # noise: it knows nothing of the labels
    given = batch(200)
    data = SimpleNamespace(
        ordered_dataloader=lambda split: [given],
        table=lambda split: {"label": np.array([0, 0, 0, 1]), "present": np.ones((4, 2), bool)},
    )
    net.eval().finalize(data)
    share, prior = net.net.shrinkage.share, net.net.shrinkage.prior
    assert float(share) < 0.1
    torch.testing.assert_close(prior, torch.tensor([0.75, 0.25, 1.0]).log())
    evidence = net.net.evidence(net.net.encode(given, given["present"]))
    summed = summed_evidence(evidence, given["present"], prior)
    said = net.predict_step(given, 0)["prob"]
    assert (said - summed[:, :2].softmax(1)).abs().max() < 0.5
    again = module(shrink=True)
    again.load_state_dict(net.state_dict())
    torch.testing.assert_close(again.eval().predict_step(given, 0)["prob"], said)
