"""Every command block of README and docs: its commands compose, its Python imports, its YAML parses.

And every claim of README and cards can be looked up: `test_a_claim_stands_by_the_table_or_test_that_shows_it`.
"""

import ast
import importlib.util
import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml

from medzoo.runtime import cli
from medzoo.runtime.command import VERBS
from medzoo.runtime.composing.extras import install_hint
from medzoo.runtime.listing import KINDS
from tests.conftest import ROOT, compose

RUN = ROOT / "docs" / "how-to" / "nomogram.md"  # its commands run in test_how_to_nomogram.py
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted({*(ROOT / "docs").rglob("*.md")} - {RUN})]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
MODULES = {"docs", "benchmarks", "pytest", "venv", "medzoo"}
LAUNCHERS = {"srun", "torchrun"}
ELSEWHERE = {"git", "cd", "source", "wandb", "pre-commit"}

CARDS = [ROOT / "README.md", *sorted((ROOT / "docs" / "models").glob("*.md"))]
CLAIM = re.compile(
    r"\b(beats?|beaten|wins?|won|outperform\w*|superior|state of the art|better than|worse than|as published"
    r"|(do|does|did) as well as|(costs?|gains?) nothing)\b",
    re.IGNORECASE,
)


def blocks(language: str) -> list:
    found = []
    for page in PAGES:
        texts = re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)
        name = page.relative_to(ROOT)
        found += [pytest.param(text, id=f"{name}-{number}") for number, text in enumerate(texts, 1)]
    return found


def commands(text: str):
    """Words of each command of a block, without comments and variables before it."""
    text, *python = re.split(r" <<'?EOF'?\n", text)
    for script in python:
        ast.parse(script.partition("\nEOF")[0])
    for line in re.sub(r"\\\n", " ", text).splitlines():
        words = shlex.split(re.sub(r"<[^>]*>", "x", line), comments=True)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
            words = words[1:]
        if words:
            yield words


def check(words: list[str], folder: Path) -> None:
    head, *rest = words
    name = Path(head).name
    if name in LAUNCHERS:  # what they start is on the same line
        start = next(place for place, word in enumerate(rest) if word == "python" or word.endswith(".py"))
        check([*(["python"] if rest[start] != "python" else []), *rest[start:]], folder)
        return
    if name == "make":
        assert {word for word in rest if "=" not in word} <= {*TARGETS}
    elif name == "pip":
        assert {*re.findall(r"\[(\w+)\]", " ".join(rest))} <= EXTRAS.keys()
    elif name == "medzoo":
        check_verb(rest[0], rest[1:], folder)
    elif name in ("python", "python3") and rest[0].endswith(".py") and "/" not in rest[0]:
        assert (ROOT / rest[0]).is_file()
        check_verb(rest[0].removesuffix(".py"), rest[1:], folder)
    elif name in ("python", "python3") and rest[0] == "-m":
        assert rest[1].split(".")[0] in MODULES
        assert importlib.util.find_spec(rest[1]), words
    elif name in ("python", "python3"):
        assert rest[0] in ("-", "-c") or (ROOT / rest[0]).is_file(), words
    else:
        assert name in ELSEWHERE, words


def check_verb(verb: str, words: list[str], folder: Path) -> None:
    """A verb's words make a config; of a sweep the first values, without launchers that may not be installed."""
    assert verb in VERBS
    if verb == "list":
        assert words[0] in KINDS
        return
    kept = [word for word in words if "=" in word and not word.startswith(("-", "hydra/", "hydra.", "search=optuna"))]
    kept = [word.replace("[...]", "[x]") for word in kept if "..." not in word.replace("[...]", "")]
    first = [re.sub(r"^([^=]+=)([^\[{\"',]*|\[[^\]]*\]),.*", r"\1\2", word) for word in kept]
    compose(folder, *cli.words_for_hydra(first, verb), config_name=verb)


@pytest.mark.parametrize("text", blocks("bash"))
def test_commands_compose(text, tmp_path):
    for words in commands(text):
        check(words, tmp_path)


@pytest.mark.parametrize("text", blocks("python"))
def test_python_compiles_and_finds_what_it_imports(text):
    for node in ast.walk(ast.parse(text)):
        for module in [node.module] if isinstance(node, ast.ImportFrom) else []:
            found = importlib.import_module(module)
            assert not [alias.name for alias in node.names if not hasattr(found, alias.name)]
        for alias in node.names if isinstance(node, ast.Import) else []:
            assert importlib.util.find_spec(alias.name) or install_hint(alias.name), alias.name


@pytest.mark.parametrize("text", blocks("yaml"))
def test_yaml_parses(text):
    assert yaml.safe_load(text)


def sections(text: str) -> dict[str, str]:
    """By the anchor of its heading, the text up to the next heading, without code."""
    _, *parts = re.split(r"^#+ (.+)$", "# top\n" + re.sub(r"```.*?```", "", text, flags=re.DOTALL), flags=re.MULTILINE)
    anchors = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in parts[::2]]
    return dict(zip(anchors, parts[1::2], strict=True))


def has_table(section: str) -> bool:
    """Whether a row of a table has a number."""
    return bool(re.search(r"^\|.*\d", section, re.MULTILINE))


def unshown(page: Path, text: str) -> list[str]:
    """Paragraphs and list items that claim without a table in their section, a link to one, or a test."""
    bare = [section for section in sections(text).values() if not has_table(section)]
    paragraphs = [each for section in bare for each in re.split(r"\n\s*\n|\n(?=- )", section) if CLAIM.search(each)]
    return [" ".join(each.split()) for each in paragraphs if not any(shows(page, target) for target in targets(each))]


def targets(paragraph: str) -> list[tuple[str, str]]:
    """Targets of links, and names of tests."""
    return re.findall(r"\]\(([^)\s]+)\)|`(tests/[\w/]+\.py)`", paragraph, re.ASCII)


def shows(page: Path, target: tuple[str, str]) -> bool:
    """Whether it is a test, or a section with a table."""
    link, test = target
    if test:
        return (ROOT / test).is_file()
    file, _, anchor = link.partition("#")
    where = (page.parent / file).resolve() if file else page
    if where.suffix == ".py":
        return where.is_file() and ROOT / "tests" in where.parents
    return where.suffix == ".md" and where.is_file() and has_table(sections(where.read_text()).get(anchor, ""))


@pytest.mark.parametrize("page", CARDS, ids=lambda page: page.stem)
def test_a_claim_stands_by_the_table_or_test_that_shows_it(page):
    assert not unshown(page, page.read_text()), (
        "give a table in this section, or a link to the section of one or a test"
    )


def test_a_claim_without_evidence_is_found():
    table = "| model | AUC |\n|---|---|\n| ours | 0.9 |"
    page = ROOT / "docs" / "models" / "hlhs.md"
    claims = "Ours beats all others."
    assert unshown(page, f"# A\n\n{claims}\n\n# B\n\n{table}") == [claims]
    assert unshown(page, f"# A\n\nx\n- y\n- {claims}") == [f"- {claims}"]
    assert unshown(page, f"# A\n\n{claims} [Shown](#no-such-section)")
    assert unshown(page, f"# A\n\n{claims} See [the code](../../train.py), `tests/no_such_test.py`")
    for shown in (
        f"{claims}\n\n{table}",
        f"{claims} [Shown](hlhs.md#results-on-phantoms)",
        f"{claims} (`tests/test_docs.py`)",
    ):
        assert not unshown(page, f"# A\n\n{shown}")
