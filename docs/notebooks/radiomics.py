# ---
# jupyter:
#   kernelspec: {display_name: Python 3, language: python, name: python3}
# ---

# %% [markdown]
# # Hand-crafted and deep radiomics of breast ultrasound
#
# This notebook starts from a MedMNIST set and asks the question of Vétil et al. 2023
# ([arXiv:2308.11389](https://arxiv.org/abs/2308.11389)): does a VAE find image features that hand-crafted radiomics do
# not already contain? It takes three minutes on two CPU cores.
#
# `python train.py experiment=medmnist_cvae datamodule.name=breastmnist` does the same and more, with a report and
# checkpoints; here you see every step. `make notebook` generates this page from `docs/notebooks/radiomics.py`.

# %%
# %matplotlib inline
import logging
import os
from functools import partial

import lightning as L
import numpy as np
import torch
from scipy.special import softmax

from medzoo.datamodules import MedMNISTDataModule
from medzoo.datamodules.radiomics import RadiomicsSettings, extract
from medzoo.datamodules.radiomics.masks import make_masks
from medzoo.evaluation.figures import (
    areas_figure,
    correlation_figure,
    pairs_figure,
    projection_figure,
    traversal_figure,
)
from medzoo.evaluation.measures.redundancy import redundancy
from medzoo.evaluation.scores.representations import compare_representations, fit_probe
from medzoo.lightning_modules import NonRedundantVAEModule
from medzoo.models import DensityRatio, RadiomicsVAE

# %%
ROOT = os.environ.get("MEDMNIST_ROOT", "data/medmnist")  # downloads a file of 0.5 MB if it is missing
EPOCHS = int(os.environ.get("EPOCHS", "30"))
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
L.seed_everything(1)

# %% [markdown]
# ## The data
#
# Breast ultrasound of 28 x 28 pixels, malignant or not, with the official split.

# %% tags=["data"]
data = MedMNISTDataModule(
    "breastmnist", root=ROOT, batch_size=32, mean=0.5, std=0.5, drop_last=True, radiomics=RadiomicsSettings("otsu_dark")
)

# %%
data.prepare_data()
data.setup()
train, test = ({**next(iter(data.ordered_dataloader(split)))} for split in ("train", "test"))
print({split: len(ids) for split, ids in data.split.items()}, data.class_names, train["image"].shape)

# %% [markdown]
# ## Hand-crafted radiomics
#
# Radiomics are computed inside a mask. A tumour is darker than the tissue around it, so the mask is everything below
# Otsu's threshold. This mask is rough: it includes the shadows. Masks and features are computed from the raw
# intensities of 0 to 255.

# %%
raw = np.rint((train["image"].numpy() * 0.5 + 0.5) * 255).astype(np.uint8)
masks = make_masks(raw, None, "otsu_dark")
pairs_figure({"image": raw[:10] / 255.0, "mask": masks[:10].reshape(-1, 1, *raw.shape[2:]).astype(float)})

# %%
features, names, flags = extract(raw[:1], None, RadiomicsSettings("otsu_dark"))
for name, value in zip(names, features[0], strict=True):
    print(f"{name:45s} {value:12.4g}")

# %% [markdown]
# The datamodule does this once for all images and caches the features in a file beside the data; batches hold them as
# `hcr`.
#
# ## A VAE that is given the radiomics
#
# The decoder gets the radiomics together with the latent, so the latent need not repeat them. The penalty enforces
# this: a discriminator estimates the mutual information of the two, and the encoder is trained to reduce it. Labels are
# not used.


# %%
def trained(mi_weight):
    """A trained VAE."""
    torch.manual_seed(1)
    net = RadiomicsVAE(
        spatial_dims=2,
        in_channels=1,
        image_size=data.image_size,
        condition_features=data.hcr_features,
        latent_features=32,
        channels=[16, 32, 64, 128],
    )
    adam = partial(torch.optim.Adam, lr=1e-3)
    module = NonRedundantVAEModule(
        net,
        adam,
        task="binary",
        num_classes=2,
        mi=DensityRatio(first_features=data.hcr_features, second_features=32),
        mi_optimizer=adam,
        mi_weight=mi_weight,
    )
    trainer = L.Trainer(
        max_epochs=EPOCHS,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    print(f"mi_weight {mi_weight:g}: validation loss {trainer.callback_metrics['val/loss']:.0f} nats")
    return module.eval()


plain, penalised = trained(mi_weight=0.0), trained(mi_weight=100.0)

# %% [markdown]
# ## How well the features predict the label
#
# Logistic regressions (L2, C = 1) are fitted on the radiomics (HCR), on the latent means (DLR), and on both.


# %%
def represented(module, split):
    """Standardised radiomics, latent means, and labels of a split."""
    with torch.no_grad():
        parts = [(*module.features(batch), batch["label"]) for batch in data.ordered_dataloader(split)]
    return [torch.cat(part).numpy() for part in zip(*parts, strict=True)]


def probabilities(module):
    """Class probabilities of the test images, for each set of features."""
    (*parts, label), (*test_parts, _) = represented(module, "train"), represented(module, "test")
    chosen = {"HCR": [0], "DLR": [1], "HCR + DLR": [0, 1]}
    probs = {}
    for name, which in chosen.items():
        weight, bias = fit_probe(np.hstack([parts[index] for index in which]), label, 2)
        probs[name] = softmax(np.hstack([test_parts[index] for index in which]) @ weight.T + bias, axis=1)
    return probs


label = represented(plain, "test")[2]
without, with_penalty = probabilities(plain), probabilities(penalised)
probs = {**without, **{f"{name}, penalty": with_penalty[name] for name in ("DLR", "HCR + DLR")}}
rows = compare_representations(label, probs, "HCR")
for row in rows:
    print(f"{row['name']:18s} AUC {row['auc']:.3f} ({row['auc_low']:.3f} to {row['auc_high']:.3f})  p {row['p']:.2f}")
areas_figure(rows)

# %% [markdown]
# With 156 test images, 42 of them malignant, the intervals are wide, so a single seed is not conclusive. The model card
# (`docs/models/cvae.md`) has three seeds and the whole range of penalties.
#
# ## Redundancy of the two sets of features

# %%
for name, module in (("without", plain), ("with the penalty", penalised)):
    hcr, dlr, _ = represented(module, "test")
    print(f"{name:17s}", {measure: round(value, 4) for measure, value in redundancy(hcr, dlr).items()})
correlation_figure(hcr, dlr, data.hcr_names, ("HCR", "DLR"))

# %% [markdown]
# ## Figures
#
# Reconstructions; projections of the test images by both sets of features; and the effect of single latents on an image
# while its radiomics stay fixed.

# %%
first, second = torch.from_numpy(hcr), torch.from_numpy(dlr)
with torch.no_grad():
    again = penalised.decode(first[:10], second[:10])
pairs_figure({"image": test["image"][:10].numpy(), "reconstruction": again.numpy()})

# %%
projection_figure({"HCR": hcr, "DLR": dlr}, label, data.class_names)

# %%
steps = [-2.0, -1.0, 0.0, 1.0, 2.0]
moved = second.var(0).argsort(descending=True)[:5].tolist()
codes = second[:1].repeat(len(moved) * len(steps), 1)
for row, latent in enumerate(moved):
    codes[row * len(steps) : (row + 1) * len(steps), latent] = torch.tensor(steps)
with torch.no_grad():
    images = penalised.decode(first[:1].expand(len(codes), -1), codes)
grid = images.reshape(len(moved), len(steps), *images.shape[1:]).numpy()
traversal_figure(grid, steps, [f"latent {latent}" for latent in moved], "one image, DLR moved, HCR as it is")
