"""Callbacks watch over training, write predictions and report on tests."""

from medzoo.callbacks.nomogram.report import NomogramReport
from medzoo.callbacks.reports.classification import ClassificationFigures
from medzoo.callbacks.reports.explanation.gradcam import GradCAMFigures
from medzoo.callbacks.reports.explanation.latent_shift import LatentShiftFigures
from medzoo.callbacks.reports.followup.report import FollowupReport
from medzoo.callbacks.reports.fusion.report import FusionReport
from medzoo.callbacks.reports.images.latents import LatentFigures
from medzoo.callbacks.reports.images.reconstruction import ReconstructionFigures
from medzoo.callbacks.reports.images.restoration import RestorationFigures
from medzoo.callbacks.reports.images.synthetic import SyntheticImages
from medzoo.callbacks.reports.images.translation import TranslationFigures
from medzoo.callbacks.reports.images.vae import VAEFigures
from medzoo.callbacks.reports.patients import PatientScores
from medzoo.callbacks.reports.representations import RepresentationReport
from medzoo.callbacks.reports.segmentation import SegmentationReport
from medzoo.callbacks.training.best_checkpoint import BestCheckpoint
from medzoo.callbacks.training.finite_guard import FiniteGuard
from medzoo.callbacks.training.interrupted import Interrupted
from medzoo.callbacks.training.progress import Progress
from medzoo.callbacks.training.resume_point import BackgroundCheckpoints, TimedCheckpoint
from medzoo.callbacks.training.step_seed import StepSeed
from medzoo.callbacks.training.tile_curriculum import TileCurriculum
from medzoo.callbacks.writers.followups import FollowupWriter
from medzoo.callbacks.writers.held_out_masks import HeldOutMasks
from medzoo.callbacks.writers.nomogram import NomogramWriter
from medzoo.callbacks.writers.predictions import PredictionWriter
from medzoo.callbacks.writers.scores import ScoreWriter
from medzoo.callbacks.writers.segmentation import SegmentationWriter

__all__ = [
    "BackgroundCheckpoints",
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
    "TileCurriculum",
    "TimedCheckpoint",
    "TranslationFigures",
    "VAEFigures",
]
