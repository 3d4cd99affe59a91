"""What is said of cases, on its way back to files."""

from collections.abc import Mapping, Sequence

from datamodules import io
from datamodules.io.pictures import is_picture
from datamodules.segmentation.cases import Case
from datamodules.segmentation.files import CaseFiles

__all__ = ["WrittenCases"]


class WrittenCases:
    """Of a datamodule of cases, what those ask for who write."""

    _predict: Sequence[CaseFiles]
    _cases: Mapping[str, Sequence[Case]]

    formats = (".png", *io.VOLUMES)
    """How names of predictions may end."""

    write_like = staticmethod(io.write_like)
    """Writes what is said of a case onto the grid of its file."""

    @property
    def predict_cases(self) -> dict[str, CaseFiles]:
        """By id, what is to be predicted."""
        return {case.id: case for case in self._predict}

    @property
    def predict_endings(self) -> dict[str, str]:
        """By id, how the name of its prediction ends: a volume's as its image's, a picture's in `.png`."""
        images = {case.id: case.images[0] for case in self._predict}
        return {name: ".png" if is_picture(image) else io.volume_ending(image) for name, image in images.items()}

    @property
    def unit(self) -> str:
        """Of sizes of the test cases: `mm`, or `px` where all are pictures."""
        return "px" if all(is_picture(case.files.images[0]) for case in self._cases["test"]) else "mm"
