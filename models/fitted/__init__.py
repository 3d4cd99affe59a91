"""What is fitted after training, as modules whose buffers travel in the checkpoint."""

from models.fitted.baselines import VolumeBaselines
from models.fitted.calibration import Calibration
from models.fitted.cohort_baselines import CohortBaselines
from models.fitted.part import FittedPart
from models.fitted.probes import Probes
from models.fitted.risk import RiskModel
from models.fitted.threshold import PatientThreshold

__all__ = ["Calibration", "CohortBaselines", "FittedPart", "PatientThreshold", "Probes", "RiskModel", "VolumeBaselines"]
