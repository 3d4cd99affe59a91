"""Callbacks: all that is neither mathematics nor data."""

from callbacks.nomogram.report import NomogramReport
from callbacks.reports.classification import ClassificationFigures
from callbacks.reports.followup import FollowupReport
from callbacks.reports.fusion import FusionReport
from callbacks.reports.gradcam import GradCAMFigures
from callbacks.reports.latent_shift import LatentShiftFigures
from callbacks.reports.latents import LatentFigures
from callbacks.reports.patients import PatientScores
from callbacks.reports.reconstruction import ReconstructionFigures
from callbacks.reports.representations import RepresentationReport
from callbacks.reports.restoration import RestorationFigures
from callbacks.reports.segmentation import SegmentationReport
from callbacks.reports.synthetic_images import SyntheticImages
from callbacks.reports.translation import TranslationFigures
from callbacks.reports.vae import VAEFigures
from callbacks.training.best_checkpoint import BestCheckpoint
from callbacks.training.finite_guard import FiniteGuard
from callbacks.training.interrupted import Interrupted
from callbacks.training.progress import Progress
from callbacks.training.step_seed import StepSeed
from callbacks.writers.followups import FollowupWriter
from callbacks.writers.held_out_masks import HeldOutMasks
from callbacks.writers.nomogram import NomogramWriter
from callbacks.writers.predictions import PredictionWriter
from callbacks.writers.scores import ScoreWriter
from callbacks.writers.segmentation import SegmentationWriter

__all__ = [
    "BestCheckpoint",
    "ClassificationFigures",
    "FiniteGuard",
    "FollowupReport",
    "FollowupWriter",
    "FusionReport",
    "GradCAMFigures",
    "HeldOutMasks",
    "Interrupted",
    "LatentFigures",
    "LatentShiftFigures",
    "NomogramReport",
    "NomogramWriter",
    "PatientScores",
    "PredictionWriter",
    "Progress",
    "ReconstructionFigures",
    "RepresentationReport",
    "RestorationFigures",
    "ScoreWriter",
    "SegmentationReport",
    "SegmentationWriter",
    "StepSeed",
    "SyntheticImages",
    "TranslationFigures",
    "VAEFigures",
]
