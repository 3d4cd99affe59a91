"""Callbacks: all that is neither mathematics nor data."""

from callbacks.best_checkpoint import BestCheckpoint
from callbacks.classification_figures import ClassificationFigures
from callbacks.explanation import GradCAMFigures
from callbacks.finite_guard import FiniteGuard
from callbacks.followup_report import FollowupReport
from callbacks.followup_writer import FollowupWriter
from callbacks.fusion_report import FusionReport
from callbacks.held_out_masks import HeldOutMasks
from callbacks.interrupted import Interrupted
from callbacks.latent_figures import LatentFigures
from callbacks.latent_shift import LatentShiftFigures
from callbacks.nomogram_report import NomogramReport
from callbacks.nomogram_writer import NomogramWriter
from callbacks.patient_scores import PatientScores
from callbacks.prediction_writer import PredictionWriter
from callbacks.progress import Progress
from callbacks.reconstruction_figures import ReconstructionFigures
from callbacks.representation_report import RepresentationReport
from callbacks.restoration_figures import RestorationFigures
from callbacks.score_writer import ScoreWriter
from callbacks.segmentation_report import SegmentationReport, SegmentationWriter
from callbacks.step_seed import StepSeed
from callbacks.synthetic_images import SyntheticImages
from callbacks.translation_figures import TranslationFigures
from callbacks.vae_figures import VAEFigures

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
