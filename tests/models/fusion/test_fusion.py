"""Fusions and their losses: known values, closed forms, and what must not matter."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from medzoo.models.fusion import (
    CrossFusion,
    EarlyFusion,
    FusionNetwork,
    LateFusion,
    MISAFusion,
    drop_modalities,
    summed_evidence,
)
from medzoo.models.fusion.fused import masked_softmax
from medzoo.models.losses import (
    ContrastiveAlignment,
    CoxLoss,
    central_moment_discrepancy,
    contrastive_loss,
    subspace_difference,
)

TIME = torch.tensor([5.0, 3, 9, 3, 7, 2, 8, 5])
EVENT = torch.tensor([1, 1, 0, 1, 1, 0, 1, 0]).bool()
HAZARD = torch.tensor([0.2, 1.1, -0.5, 0.3, 0.1, 0.9, -0.8, 0.4], dtype=torch.float64)
FIRST = torch.linspace(-1, 1, 24, dtype=torch.float64).sin().view(6, 4)
SECOND = torch.linspace(0, 2, 24, dtype=torch.float64).cos().view(6, 4)
NAMES = ("ct", "clinical", "genomics")
FUSIONS = {
    "early": EarlyFusion,
    "late": LateFusion,
    "cross": CrossFusion,
    "cross with tokens": lambda **sizes: CrossFusion(missing="token", **sizes),
    "cross with masks": lambda **sizes: CrossFusion(missing="mask", **sizes),
    "misa": MISAFusion,
}


def network(fusion, names=NAMES):
    torch.manual_seed(0)
    sizes = {"modalities": names, "dim": 8, "num_classes": 2}
    encoders = {name: nn.Sequential(nn.Flatten(), nn.Linear(5, 8)) for name in names}
    return FusionNetwork(encoders, FUSIONS[fusion](**sizes), **sizes).eval()


def trained(fusion):
    """With no weight at 0, where many start."""
    net = network(fusion)
    for weight in net.parameters():
        nn.init.normal_(weight, std=0.5)
    return net


def patients(count=12, seed=3):
    torch.manual_seed(seed)
    present = torch.rand(count, len(NAMES)) > 0.4
    present[:, 1] |= ~present.any(1)
    return {name: torch.randn(count, 5) for name in NAMES}, present


# Survival


@pytest.mark.parametrize(("ties", "likelihood"), [("breslow", -5.953454320), ("efron", -5.684389132)])
def test_cox_gives_the_known_likelihood(ties, likelihood):
    assert -5 * CoxLoss(ties)(HAZARD, TIME, EVENT).item() == pytest.approx(likelihood, abs=1e-8)


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_cox_is_the_sum_over_risk_sets(ties):
    loss = 0.0
    for time in {t.item() for t, e in zip(TIME, EVENT, strict=True) if e}:
        tied = HAZARD[(time == TIME) & EVENT]
        risk = HAZARD[time <= TIME].exp().sum()
        for rank in range(len(tied)):
            part = rank / len(tied) * tied.exp().sum() if ties == "efron" else 0
            loss += ((risk - part).log() - tied[rank]).item()
    assert CoxLoss(ties)(HAZARD, TIME, EVENT).item() == pytest.approx(loss / 5, abs=1e-12)


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_cox_gradient_agrees_with_finite_differences(ties):
    hazard = HAZARD.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda h: CoxLoss(ties)(h, TIME, EVENT), (hazard,))


@pytest.mark.parametrize("ties", ["breslow", "efron"])
def test_cox_does_not_depend_on_the_order_nor_on_the_unit(ties):
    order = torch.tensor([3, 0, 7, 5, 1, 6, 2, 4])
    expected = CoxLoss(ties)(HAZARD, TIME, EVENT)
    torch.testing.assert_close(CoxLoss(ties)(HAZARD[order], TIME[order], EVENT[order]), expected)
    torch.testing.assert_close(CoxLoss(ties)(HAZARD + 50, TIME / 12, EVENT), expected)


@pytest.mark.parametrize("ties", ["breslow", "efron"])
@pytest.mark.parametrize("event", [False, True])
def test_patients_without_a_time_teach_no_survival(ties, event):
    hazard = torch.cat([HAZARD[:3], HAZARD.new_tensor([3.0, -9.0]), HAZARD[3:]]).requires_grad_()
    time = torch.cat([TIME[:3], TIME.new_tensor([float("nan")] * 2), TIME[3:]])
    events = torch.cat([EVENT[:3], torch.tensor([event] * 2), EVENT[3:]])
    loss = CoxLoss(ties)(hazard, time, events)
    torch.testing.assert_close(loss, CoxLoss(ties)(HAZARD, TIME, EVENT))
    loss.backward()
    assert hazard.grad[3:5].tolist() == [0, 0]
    assert hazard.grad[:3].abs().sum() > 0


def test_a_batch_without_a_known_time_has_a_loss_of_zero_and_a_gradient():
    hazard = HAZARD.clone().requires_grad_()
    loss = CoxLoss()(hazard, torch.full_like(TIME, float("nan")), EVENT)
    loss.backward()
    assert loss.item() == 0
    assert hazard.grad.tolist() == [0] * len(HAZARD)


def test_cox_without_events_teaches_nothing():
    hazard = HAZARD.clone().requires_grad_()
    loss = CoxLoss()(hazard, TIME, torch.zeros(8, dtype=torch.bool))
    loss.backward()
    assert loss == 0
    assert not hazard.grad.any()


# Alignment and subspaces


def test_contrastive_loss_gives_the_known_value():
    assert contrastive_loss(FIRST, SECOND, 1 / 0.07).item() == pytest.approx(19.910754566, abs=1e-8)


def test_contrastive_loss_is_the_cross_entropy_of_finding_the_partner():
    logits = 3.0 * F.normalize(FIRST, dim=1) @ F.normalize(SECOND, dim=1).T
    ways = [-(way.diagonal() - way.exp().sum(1).log()).mean() for way in (logits, logits.T)]
    torch.testing.assert_close(contrastive_loss(FIRST, SECOND, 3.0), sum(ways) / 2)
    hottest = contrastive_loss(FIRST, SECOND, 100.0)
    assert contrastive_loss(FIRST, SECOND, 1000.0) == hottest
    assert contrastive_loss(FIRST[:1], SECOND[:1], 3.0) == 0


def test_alignment_compares_those_who_have_both():
    torch.manual_seed(0)
    align = ContrastiveAlignment(modalities=NAMES, dim=8)
    tokens = torch.randn(6, 3, 8, requires_grad=True)
    present = torch.tensor([[1, 1, 0], [1, 1, 0], [1, 0, 1], [0, 1, 0], [1, 1, 0], [0, 0, 1]]).bool()
    rows = torch.tensor([0, 1, 4])
    a, b = (net(tokens[rows, m]) for m, net in enumerate(align.project[:2]))
    loss = align(tokens, present)
    torch.testing.assert_close(loss, contrastive_loss(a, b, 1 / 0.07))
    loss.backward()
    assert tokens.grad[rows, :2].abs().amin() > 0
    assert not tokens.grad[[2, 3, 5]].any()


def test_moments_and_difference_give_the_known_values():
    assert central_moment_discrepancy(FIRST, SECOND).item() == pytest.approx(1.352341028, abs=1e-8)
    assert subspace_difference(FIRST, SECOND).item() == pytest.approx(2.216922737, abs=1e-8)


def test_moments_of_the_same_codes_are_0_with_a_finite_gradient():
    codes = FIRST.clone().requires_grad_()
    loss = central_moment_discrepancy(codes, FIRST)
    loss.backward()
    assert loss.item() < 1e-100
    assert codes.grad.isfinite().all()


# Modality dropout


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 1.0])
def test_modality_dropout_never_drops_all_and_never_makes_one_up(share):
    torch.manual_seed(1)
    present = torch.rand(4000, 4) > 0.5
    present[:, 0] |= ~present.any(1)
    kept = drop_modalities(present, share)
    assert kept.any(1).all()
    assert not (kept & ~present).any()
    several = present.sum(1) > 1
    if share == 1.0:
        assert (kept.sum(1) == 1).all()
        only = kept[(present.sum(1) == 4)].double().mean(0)
        assert only.sub(0.25).abs().max() < 0.1, "the one that is spared is any of them"
    else:
        dropped = 1 - kept[several].sum() / present[several].sum()
        sizes = present[several].sum(1).double()
        expected = 1 - ((1 - share) * sizes + share**sizes).sum() / sizes.sum()
        assert dropped.item() == pytest.approx(expected.item(), abs=0.02)


# Fusions


@pytest.mark.parametrize("fusion", FUSIONS)
def test_what_absent_modalities_hold_does_not_matter(fusion):
    inputs, present = patients()
    net = trained(fusion)
    output, weights, tokens = net(inputs, present)
    spoilt = {name: inputs[name].clone() for name in NAMES}
    for index, name in enumerate(NAMES):
        spoilt[name][~present[:, index]] = math.nan
        spoilt[name].requires_grad_()
    for clean, other in zip((output, weights, tokens), net(spoilt, present), strict=True):
        assert torch.equal(clean, other)
    net(spoilt, present)[0].square().sum().backward()
    for index, name in enumerate(NAMES):
        assert not spoilt[name].grad[~present[:, index]].any()
        assert spoilt[name].grad[present[:, index]].abs().sum(1).all(), "those that are there count"
    assert all(weight.grad.isfinite().all() for weight in net.parameters() if weight.grad is not None)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_losses_of_a_fusion_do_not_see_absent_modalities_either(fusion):
    inputs, present = patients()
    net = trained(fusion)
    spoilt = {name: inputs[name].where(present[:, [index]], math.nan) for index, name in enumerate(NAMES)}
    terms = []
    for given in (inputs, spoilt):
        tokens = net.encode(given, present)
        terms.append(net.fuse(tokens, net.evidence(tokens), present).terms)
    assert terms[0].keys() == terms[1].keys()
    assert all(torch.equal(terms[0][name], terms[1][name]) for name in terms[0])
    assert ("similarity" in terms[0]) == (fusion == "misa")


@pytest.mark.parametrize("fusion", FUSIONS)
def test_weights_of_those_present_sum_to_1_and_others_are_0(fusion):
    inputs, present = patients()
    _, weights, _ = trained(fusion)(inputs, present)
    torch.testing.assert_close(weights.sum(1), torch.ones(12))
    assert not weights[~present].any()
    assert weights[present].min() > 0


@pytest.mark.parametrize("fusion", FUSIONS)
def test_the_order_of_patients_does_not_matter(fusion, float64):  # in float32 a row is rounded by its place
    inputs, present = patients()
    net, order = trained(fusion), torch.randperm(12)
    output = net(inputs, present)[0]
    shuffled = net({name: values[order] for name, values in inputs.items()}, present[order])[0]
    torch.testing.assert_close(shuffled, output[order])


@pytest.mark.parametrize("fusion", FUSIONS)
def test_which_modalities_are_missing_does_matter(fusion):
    inputs, _ = patients()
    net, everyone = trained(fusion), torch.ones(12, 3, dtype=torch.bool)
    fewer = everyone.clone()
    fewer[:, 0] = False
    assert (net(inputs, everyone)[0] - net(inputs, fewer)[0]).abs().amax(1).min() > 1e-4


@pytest.mark.parametrize("fusion", FUSIONS)
def test_a_patient_without_any_modality_is_refused(fusion):
    inputs, present = patients()
    present[7] = False
    with pytest.raises(ValueError, match="row 7 of the batch has no modality"):
        network(fusion)(inputs, present)


@pytest.mark.parametrize("fusion", FUSIONS)
def test_gradients_reach_every_parameter(fusion):
    inputs, present = patients()
    net = network(fusion).train()
    for weight in net.parameters():  # nothing would flow through layers that start at 0
        nn.init.normal_(weight, std=0.3)
    tokens = net.encode(inputs, present)
    evidence = net.evidence(tokens)
    fused = net.fuse(tokens, evidence, present)
    (fused.output.square().sum() + evidence.square().sum() + sum(fused.terms.values())).backward()
    asked = [(name, weight) for name, weight in net.named_parameters() if weight.requires_grad]
    assert not [name for name, weight in asked if weight.grad is None or not weight.grad.any()]


def test_late_fusion_of_one_modality_says_what_its_head_says():
    inputs, _ = patients()
    net = network("late")
    nn.init.normal_(net.fusion.scores)
    for index, name in enumerate(NAMES):
        alone = torch.zeros(12, 3, dtype=torch.bool)
        alone[:, index] = True
        own = net.heads[name](net.encoders[name](inputs[name]))
        torch.testing.assert_close(net(inputs, alone)[0], own)


def test_late_fusion_is_the_weighted_mean_over_those_present():
    inputs, present = patients()
    net = network("late")
    own = torch.stack([net.heads[name](net.encoders[name](inputs[name])) for name in NAMES], 1)
    expected = (own * present[..., None]).sum(1) / present.sum(1, keepdim=True)
    torch.testing.assert_close(net(inputs, present)[0], expected)


def test_cross_fusion_starts_as_the_sum_of_the_evidence_with_equal_weights():
    inputs, present = patients()
    net = network("cross")
    output, weights, tokens = net(inputs, present)
    torch.testing.assert_close(output, (net.evidence(tokens) * present[..., None]).sum(1))
    torch.testing.assert_close(weights, present / present.sum(1, keepdim=True))


def test_no_modality_asks_itself_and_none_asks_the_absent():
    fusion = FUSIONS["cross"](modalities=NAMES, dim=8, num_classes=2, heads=2)
    blocked = fusion._blocked(torch.tensor([[True, False, True]]))
    expected = [[1, 0, 1, 0], [0, 1, 1, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    assert blocked.shape == (2, 4, 4)
    assert blocked[0].int().tolist() == blocked[1].int().tolist() == expected


def test_encoders_see_only_rows_that_are_there():
    seen = {}

    class Encoder(nn.Module):
        def forward(self, rows):
            seen.setdefault("rows", []).append(rows)
            return rows

    net = FusionNetwork(
        {"a": Encoder()}, LateFusion(modalities=["a"], dim=2, num_classes=2), modalities=["a"], dim=2, num_classes=2
    )
    present = torch.tensor([[False], [True], [False], [True]])
    tokens = net.encode({"a": torch.arange(8.0).view(4, 2)}, present)
    assert [rows.tolist() for rows in seen["rows"]] == [[[2, 3], [6, 7]]]
    assert tokens[:, 0].tolist() == [[0, 0], [2, 3], [0, 0], [6, 7]]
    net.encode({"a": None}, torch.zeros(4, 1, dtype=torch.bool))
    assert len(seen["rows"]) == 1, "an encoder rests where nobody has its modality"


def test_a_single_row_does_not_upset_batch_normalisation():
    encoder = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8))
    net = FusionNetwork(
        {"a": encoder}, LateFusion(modalities=["a"], dim=8, num_classes=2), modalities=["a"], dim=8, num_classes=2
    )
    present = torch.tensor([[True], [False]])
    assert net.train().encode({"a": torch.randn(2, 5)}, present).isfinite().all()


def test_a_modality_without_encoder_is_told():
    with pytest.raises(ValueError, match="none for genomics"):
        FusionNetwork({"ct": nn.Identity()}, nn.Identity(), modalities=["ct", "genomics"], dim=2, num_classes=2)


def test_masked_softmax_is_a_softmax_over_those_present():
    shares = masked_softmax(torch.tensor([[1.0, 100.0, 2.0]]), torch.tensor([[True, False, True]]))
    torch.testing.assert_close(shares[0, [0, 2]], torch.tensor([1.0, 2.0]).softmax(0))
    assert shares[0, 1] == 0


def test_misa_terms_are_those_of_the_paper():
    torch.manual_seed(0)
    fusion = MISAFusion(modalities=NAMES, dim=8, num_classes=2, hidden=6).eval()
    tokens, present = torch.randn(10, 3, 8), torch.ones(10, 3, dtype=torch.bool)
    u = [net(tokens[:, m]) for m, net in enumerate(fusion.project)]
    p = [net(each).sigmoid() for net, each in zip(fusion.private, u, strict=True)]
    c = [fusion.shared(each).sigmoid() for each in u]
    pairs = [(0, 1), (0, 2), (1, 2)]
    similar = sum(central_moment_discrepancy(c[m], c[n]) for m, n in pairs) / 3
    different = sum(subspace_difference(p[m], c[m]) for m in range(3)) + sum(
        subspace_difference(p[m], p[n]) for m, n in pairs
    )
    errors = sum((net(p[m] + c[m]) - u[m]).square().mean() for m, net in enumerate(fusion.rebuild)) / 3
    terms = fusion(tokens, torch.zeros(10, 3, 3), present).terms
    torch.testing.assert_close(terms["similarity"], similar)
    torch.testing.assert_close(terms["difference"], 0.3 * different)
    torch.testing.assert_close(terms["reconstruction"], errors)


def test_summed_evidence_is_the_posterior_of_independent_findings():
    """Two normal findings of means +-d / 2; the heads say the posterior of each alone, with 20% of class 1."""
    effects, share = torch.tensor([1.5, -0.7]), torch.tensor([0.8, 0.2])
    finding = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    present = torch.arange(50)[:, None] % torch.tensor([2, 3]) > 0
    odds = effects * finding  # log p(x | 1) - log p(x | 0)
    evidence = torch.stack([share[0].log().expand(50, 2), share[1].log() + odds], -1).log_softmax(-1)
    expected = share[1].logit() + (odds * present).sum(1)
    found = summed_evidence(evidence, present, share.log()).softmax(-1)[:, 1].logit()
    torch.testing.assert_close(found, expected)


def test_a_fusion_is_shrunk_by_the_fitted_share_but_not_in_training():
    torch.manual_seed(0)
    sizes = {"modalities": ("a", "b"), "dim": 4, "num_classes": 2}
    fusion = CrossFusion(**sizes)
    nn.init.normal_(fusion.head[-1].weight)
    net = FusionNetwork({name: nn.Identity() for name in "ab"}, fusion, shrink=True, **sizes).eval()
    tokens, present = torch.randn(6, 2, 4), torch.tensor([[True, True], [True, False]] * 3)
    evidence = net.evidence(tokens)
    whole = fusion(tokens, evidence, present).output
    prior = torch.tensor([0.7, 0.3, 1.0]).log()
    summed = summed_evidence(evidence, present, prior)
    for share in (0.0, 0.25, 1.0):
        net.shrinkage.take(share=share, prior=prior)
        torch.testing.assert_close(net.fuse(tokens, evidence, present).output, summed + share * (whole - summed))
    net.shrinkage.take(share=0.0)
    net.training = True  # its parts stay without dropout
    torch.testing.assert_close(net.fuse(tokens, evidence, present).output, fusion(tokens, evidence, present).output)
