"""Complaints about files are told from faults of the program, also while a model runs."""

import numpy as np
import pytest

from medzoo.datamodules.io import read_volume
from medzoo.datamodules.io.volumes.grid import Grid
from medzoo.runtime.errors import UserError, data_errors


def test_a_file_that_is_bad_is_told_in_one_line(tmp_path):
    (tmp_path / "x.nii.gz").write_bytes(b"no volume")
    for name, said in (("x.nii.gz", "could not be read as a NIfTI volume"), ("y.nii.gz", "no file")):
        with pytest.raises(UserError, match=said) as told, data_errors():
            read_volume(tmp_path / name)
        assert name in str(told.value)
        assert told.value.__cause__ is not None, "MEDZOO_TRACEBACK=1 shows it"


def test_faults_of_the_program_keep_their_traceback():
    def raised_elsewhere():
        raise ValueError("of a network")

    def raised_below_the_data():
        Grid((2, 2, 2), np.eye(4)).to_array(np.zeros(3))

    for fault in (raised_elsewhere, raised_below_the_data):
        with pytest.raises(ValueError, match=r"of a network|reshape"), data_errors():
            fault()
