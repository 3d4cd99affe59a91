from functools import partial

import lightning as L
import numpy as np
import pytest
import torch

from medzoo.datamodules.followup.clinical import CLINICAL
from medzoo.lightning_modules import AutoencoderModule, LatentDiffusionModule
from medzoo.models import (
    ConditionalUNet,
    DPMSolverPP2M,
    FollowupDiffusion,
    HemorrhageAutoencoderLoss,
    MultiHeadAutoencoderKL,
    PatchAdversarialTerm,
    sigmoid_schedule,
)
from medzoo.models.followup import Forecast

ADAM = partial(torch.optim.Adam, lr=1e-3)


def autoencoder():
    return MultiHeadAutoencoderKL(channels=(8, 8, 8), num_res_blocks=1, norm_num_groups=4, decoder_features=8)


def module(**options):
    torch.manual_seed(0)
    net = ConditionalUNet(4, 4, 12, dim=8, dim_mults=(1, 2), num_res_blocks=1, heads=1, dim_head=8)
    diffusion = FollowupDiffusion(autoencoder(), net, sigmoid_schedule())
    torch.nn.init.normal_(diffusion.net.head.weight, std=0.1)
    ranges = [list(limits) for limits in CLINICAL.values()]
    options = {"samples": 8, **options}
    return LatentDiffusionModule(
        diffusion, DPMSolverPP2M(3), ADAM, clinical_names=list(CLINICAL), clinical_ranges=ranges, **options
    ).eval()


def patient(name="p1"):
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(5, 3, 16, 16, generator=generator)
    image[:, 1:] = 0
    image[1:4, 1, 4:9, 4:9] = 1
    return {
        "id": [name],
        "image": image,
        "slices": torch.tensor([1, 2, 3]),
        "context": torch.tensor([[0, 1, 2], [1, 2, 3], [2, 3, 4]]),
        "spacing": torch.tensor([3.0, 3.0, 5.0]),
        "clinical": torch.full((1, 7), 0.5),
        "label": torch.tensor([1]),
        "table": [{"p_from_elsewhere": "0.25", "word": "yes"}],
    }


def pairs(size=4):
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.rand(size, 9, 16, 16, generator=generator),
        "followup": torch.rand(size, 3, 16, 16, generator=generator),
        "iph": torch.rand(size, 16, 16, generator=generator) > 0.9,
        "clinical": torch.rand(size, 7, generator=generator),
        "label": torch.tensor([0, 1] * (size // 2)),
        "id": [str(index) for index in range(size)],
    }


@pytest.mark.parametrize(("probability", "ones"), [(0.0, 0), (0.05, 4), (0.3, 5), (0.9, 12), (1.0, 16)])
def test_weights_give_each_flag_its_share(probability, ones):
    said, flag, weight = module(expansion=probability)._flags(patient(), patient()["clinical"][0], 16)
    assert said == probability
    assert weight.sum() == pytest.approx(1)
    assert weight[flag == 1].sum() == pytest.approx(probability)
    assert int(flag.sum()) == ones, "a quarter of the samples carries each flag at least, where both are possible"


def test_the_same_patient_gets_the_same_forecast_another_one_does_not():
    model = module(expansion=0.5)
    first, again, other = (model.predict_step(patient(name), 0)["forecast"].ct for name in ("a", "a", "b"))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_counterfactuals_keep_the_noise():
    model = module(expansion=0.5)
    model.set_prediction(perturb={"Age": [50, 50, 90]})
    worlds = model.predict_step(patient(), 0)["counterfactuals"]["Age"]
    assert torch.equal(worlds[0]["forecast"].ct, worlds[1]["forecast"].ct)
    assert not torch.equal(worlds[0]["forecast"].ct, worlds[2]["forecast"].ct)
    assert torch.equal(worlds[0]["forecast"].ct, model.predict_step(patient(), 0)["forecast"].ct), "Age was 50"


def test_the_flag_can_come_from_a_column_of_the_table():
    model = module()
    model.set_prediction(expansion="p_from_elsewhere")
    assert model.predict_step(patient(), 0)["probability"] == 0.25
    for name in ("word", "nothing"):
        model.set_prediction(expansion=name)
        with pytest.raises(ValueError, match=f"expansion={name}: .*patient p1 no number"):
            model.predict_step(patient(), 0)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"expansion": 1.5}, "between 0 and 1"),
        ({"samples": 0}, "at least 1"),
        ({"perturb": {"Weight": [70]}}, "no clinical variable Weight"),
        ({"perturb": {"GCS": [2]}}, "GCS=2: expected 3 to 15"),
    ],
)
def test_a_wrong_request_is_told(asked, said):
    with pytest.raises(ValueError, match=said):
        module().set_prediction(**asked)


def test_the_risk_model_is_in_the_state_and_reads_unknown_values():
    model = module()
    weight = torch.zeros(21)
    weight[0] = 2.0
    model.risk_model.take(weight=weight, bias=-1.0, fill=torch.full((7,), 0.25))
    known = torch.full((7,), 0.5)
    assert model.risk(known) == pytest.approx(torch.sigmoid(torch.tensor(2 * 0.5 - 1)).item())
    known[0] = float("nan")
    assert model.risk(known) == pytest.approx(torch.sigmoid(torch.tensor(2 * 0.25 - 1)).item())
    other = module()
    other.load_state_dict(model.state_dict())
    assert other.risk(known) == model.risk(known)


def test_training_learns_from_images_and_from_latents_alike():
    model = module(clinical_dropout=0.0, value_dropout=0.0)
    batch = pairs()
    context, followup = model._latents(batch)
    torch.manual_seed(0)
    from_images = model.training_step(batch, 0)
    torch.manual_seed(0)
    latents = {"latent": context, "followup_latent": followup, **{k: v for k, v in batch.items() if "image" not in k}}
    assert model.training_step(latents, 0).item() == pytest.approx(from_images.item(), rel=1e-5)
    from_images.backward()
    assert all(weight.grad is None for weight in model.diffusion.autoencoder.parameters())
    missing = [name for name, weight in model.diffusion.net.named_parameters() if weight.grad is None]
    assert not missing, "DDP wants a gradient for every parameter"


def test_the_autoencoder_is_handed_over_with_its_statistics():
    stage = AutoencoderModule(autoencoder(), HemorrhageAutoencoderLoss(), ADAM)
    model = module()
    with pytest.raises(ValueError, match="not been measured"):
        model.receive({"autoencoder": stage})
    stage.measure_latents([{"image": torch.rand(4, 3, 16, 16)} for _ in range(3)])
    model.receive({"autoencoder": stage})
    for name, weight in stage.net.state_dict().items():
        assert torch.equal(model.diffusion.autoencoder.state_dict()[name], weight)
    image = torch.rand(64, 3, 16, 16)
    latent = model.diffusion.encode(image)
    assert latent.mean(dim=(0, 2, 3)) == pytest.approx(torch.zeros(4), abs=0.15)
    assert latent.std(dim=(0, 2, 3)) == pytest.approx(torch.ones(4), abs=0.15)
    with pytest.raises(ValueError, match="stage named autoencoder"):
        module().receive({})


def test_latent_statistics_are_those_of_all_values_together():
    stage = AutoencoderModule(autoencoder(), HemorrhageAutoencoderLoss(), ADAM, statistics_batches=2)
    batches = [
        {"image": torch.rand(3, 3, 16, 16)},
        {"image": torch.rand(5, 3, 16, 16)},
        {"image": torch.ones(1, 3, 16, 16)},
    ]
    stage.measure_latents(batches)
    latents = torch.cat([stage.net.encode(batch["image"])[0] for batch in batches[:2]])
    assert torch.allclose(stage.latent_mean, latents.mean(dim=(0, 2, 3)), atol=1e-5)
    assert torch.allclose(stage.latent_std, latents.std(dim=(0, 2, 3), correction=0), atol=1e-5)


def test_the_discriminator_trains_beside_the_autoencoder(tmp_path):
    term = PatchAdversarialTerm(channels=4, num_layers=1, start_step=1)
    stage = AutoencoderModule(
        autoencoder(), HemorrhageAutoencoderLoss(), ADAM, adversarial=term, discriminator_optimizer=ADAM, accumulate=2
    )
    before = {name: weight.clone() for name, weight in stage.named_parameters()}
    batches = [{"image": torch.rand(2, 3, 16, 16), "id": ["a", "b"]} for _ in range(8)]
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = L.Trainer(max_steps=3, accelerator="cpu", default_root_dir=tmp_path, **quiet)
    trainer.fit(stage, torch.utils.data.DataLoader(batches, batch_size=None))
    assert trainer.global_step == 3, "the discriminator's steps are not counted"
    moved = {name for name, weight in stage.named_parameters() if not torch.equal(weight, before[name])}
    assert any(name.startswith("net.") for name in moved)
    assert any(name.startswith("adversarial.") for name in moved)


def test_dice_is_over_all_voxels_of_the_split(tmp_path):
    stage = AutoencoderModule(autoencoder(), HemorrhageAutoencoderLoss(), ADAM)
    images = torch.rand(6, 3, 16, 16)
    images[:, 1:] = (images[:, 1:] > 0.8).float()
    batches = [{"image": part, "id": ["x"] * len(part)} for part in images.split(4)]
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = L.Trainer(accelerator="cpu", default_root_dir=tmp_path, **quiet)
    (said,) = trainer.test(stage, torch.utils.data.DataLoader(batches, batch_size=None), verbose=False)
    with torch.no_grad():
        again = stage(images)
    for channel, name in ((1, "iph"), (2, "ivh")):
        a, b = again[:, channel] > 0.5, images[:, channel] > 0.5
        assert said[f"test/dice_{name}"] == pytest.approx(
            2 * (a & b).sum().item() / (a.sum() + b.sum()).item(), abs=1e-6
        )


def test_dice_without_blood_in_scan_and_reconstruction_is_undefined(tmp_path):
    stage = AutoencoderModule(autoencoder(), HemorrhageAutoencoderLoss(), ADAM)
    images = torch.rand(2, 3, 16, 16) * torch.tensor([1.0, 0.0, 0.0])[:, None, None]
    stage.net.decode = lambda mean: torch.cat([images[:, :1], torch.full((2, 2, 16, 16), -9.0)], dim=1)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = L.Trainer(accelerator="cpu", default_root_dir=tmp_path, **quiet)
    batches = [{"image": images, "id": ["x"] * 2}]
    (said,) = trainer.test(stage, torch.utils.data.DataLoader(batches, batch_size=None), verbose=False)
    assert said["test/dice_iph"] != said["test/dice_iph"], "NaN"
    assert said["test/ct_mae_hu"] == pytest.approx(0)


def bleeding(flag, voxels):
    """A forecast of 16 x 16 pixels whose samples have as many bleeding voxels as their flag says."""
    iph = torch.linspace(0.4, 0.01, 3 * 16 * 16).reshape(3, 16, 16).repeat(len(flag), 1, 1, 1)
    for sample, group in enumerate(flag.tolist()):
        iph[sample].view(-1)[: voxels[group]] = 0.9
    return Forecast(ct=iph, iph=iph, ivh=0 * iph)


def test_an_outlook_is_the_volume_under_each_flag_and_the_probability(monkeypatch):
    model, batch = module(expansion=0.25, effect_samples=4, counterfactuals={"Age": [60, 80]}), patient()
    batch["image"][0, 1, :2, :5] = 1  # 10 voxels bleed where nothing is forecast
    monkeypatch.setattr(model, "forecast", lambda batch, clinical, flag: bleeding(flag, (4, 8)))
    tested = model.test_step(batch, 0)
    effects = tested["effects"]
    voxel = 3 * 3 * 5 / 1000
    outlook = {"probability": 0.25, "stable": 14 * voxel, "expanding": 18 * voxel}
    for found in (*effects["Age"].values(), tested["outlook"]):
        assert found == pytest.approx(outlook)
    assert [*effects["Age"]] == [60, 80]


def test_an_effect_needs_both_flags():
    with pytest.raises(ValueError, match="effect_samples=1 must be at least 2"):
        module(effect_samples=1)


def test_a_volume_that_is_measured_on_the_scan_cannot_be_changed():
    with pytest.raises(ValueError, match="IPH_baseline_ml is measured on the scan"):
        module(counterfactuals={"IPH_baseline_ml": [10, 20]})
    with pytest.raises(ValueError, match="give another scan"):
        module().set_prediction(perturb={"IPH_baseline_ml": [30]})
    module(measured=[]).set_prediction(perturb={"IPH_baseline_ml": [30]})


class Cohort:
    """Patients with the scan of `patient`, whose bleeds grow by a tenth or double, the more the denser the blood."""

    def __init__(self, count=60):
        rng = np.random.default_rng(0)
        self.rows = {
            "id": np.array([f"p{number}" for number in range(count)]),
            "clinical": rng.uniform(size=(count, 7)),
            "signs": rng.uniform(size=(count, 2)),
            "label": np.arange(count) % 2,
            "baseline_ml": np.full(count, 75 * 0.045),
        }
        growth = np.where(self.rows["label"] == 1, 0.5 + 0.5 * self.rows["signs"][:, 0], 0.1)
        self.rows["followup_ml"] = self.rows["baseline_ml"] * np.exp(growth + rng.normal(0, 0.02, count))

    def clinical(self, split):
        return self.rows

    def patient_dataloader(self, split):
        for number, name in enumerate(self.rows["id"]):
            signs = torch.from_numpy(self.rows["signs"][number])[None]
            yield {**patient(name), "clinical": torch.from_numpy(self.rows["clinical"][number])[None], "signs": signs}


def test_calibrated_bleeds_grow_as_the_training_patients_did(monkeypatch):
    model, cohort = module(signs=["density", "unevenness"], calibrate_growth=True, expansion=0.5), Cohort()
    monkeypatch.setattr(model, "forecast", lambda batch, clinical, flag: bleeding(flag, (60, 90)))
    model.finalize(cohort)
    other = module(signs=["density", "unevenness"], calibrate_growth=True, expansion=0.5)
    other.load_state_dict(model.state_dict())
    monkeypatch.setattr(other, "forecast", model.forecast)
    assert other.growth_model.share[0] == 0, "the network says the same of everybody"
    for batch in [*cohort.patient_dataloader("val")][1:4]:
        made = other.predict_step(batch, 0)
        volumes = (made["forecast"].iph > 0.5).sum(dim=(1, 2, 3)) * 0.045
        grown = (volumes[made["flag"] == 1] / (75 * 0.045)).log().mean().item()
        assert grown == pytest.approx(0.5 + 0.5 * batch["signs"][0, 0].item(), abs=0.06)
        assert made["sampled_ml"].unique().tolist() == pytest.approx([60 * 0.045, 90 * 0.045])


def test_without_calibration_bleeds_grow_as_the_network_says(monkeypatch):
    model, cohort = module(signs=["density", "unevenness"], expansion=0.5), Cohort()
    monkeypatch.setattr(model, "forecast", lambda batch, clinical, flag: bleeding(flag, (60, 90)))
    model.finalize(cohort)
    made = model.predict_step(next(cohort.patient_dataloader("val")), 0)
    assert (made["forecast"].iph > 0.5).sum(dim=(1, 2, 3)).unique().tolist() == [60, 90]
    assert model.growth_model.fitted, "the report compares with the regression all the same"
