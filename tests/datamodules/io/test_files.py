import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from medzoo.datamodules.io import read_json, setting


@pytest.mark.parametrize(
    "value", [r"(.*)_\d+", r"(.*)[_-]?\d+", r"(?P<a>x y)=\w{2},[b]", "a'b", 'a"b', "$HOME*{a,b}", ""]
)
def test_a_setting_can_be_pasted_into_a_shell(value):
    words = shlex.split(f"python train.py {setting('datamodule.patient', value)} seed=1")
    override = OverridesParser.create().parse_override(words[2])
    assert (len(words), override.key_or_group, override.value()) == (4, "datamodule.patient", value)


def test_damaged_json_is_named(tmp_path):
    file = tmp_path / "dataset.json"
    file.write_bytes(b'\xef\xbb\xbf{"a": 1}')  # a mark of Windows
    assert read_json(file) == {"a": 1}
    for content in (b"", b"{", b"\xff\xfe{", b"[1,\n"):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"dataset\.json could not be read as JSON") as told:
            read_json(file)
        assert "\n" not in str(told.value)
    with pytest.raises(FileNotFoundError, match="no file"):
        read_json(tmp_path / "none.json")
