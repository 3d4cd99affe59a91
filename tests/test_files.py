import pytest

from medzoo.files import replacing, write_between, write_text


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


def test_what_is_between_two_markers_is_replaced_and_nothing_else(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- b -->\nold\n<!-- e -->\nc\n<!-- e -->\n")
    for _ in range(2):
        write_between(page, "<!-- b -->", "<!-- e -->", "new\n")
        assert page.read_text() == "a\n<!-- b -->\n\nnew\n\n<!-- e -->\nc\n<!-- e -->\n"


@pytest.mark.parametrize("text", ["", "<!-- e --> <!-- b -->", "<!-- b --> <!-- b --> <!-- e -->"])
def test_a_page_without_its_markers_stays_as_it_is(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match="expected `<!-- b -->` once, and `<!-- e -->` after it"):
        write_between(page, "<!-- b -->", "<!-- e -->", "new")
    assert page.read_text() == text
