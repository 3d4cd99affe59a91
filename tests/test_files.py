import pytest

from medzoo.files import replacing, write_text


def test_a_file_appears_when_it_is_complete(tmp_path):
    file = tmp_path / "new" / "a.txt"
    with replacing(file) as partial:
        partial.write_text("half")
        assert partial.suffix == ".txt"
        assert not file.exists()
    assert file.read_text() == "half"
    assert [path.name for path in file.parent.iterdir()] == ["a.txt"]


def test_an_error_leaves_what_was_there(tmp_path):
    file = tmp_path / "a.txt"
    write_text(file, "old")

    def stopped():
        with replacing(file) as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        stopped()
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
