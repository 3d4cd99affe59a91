"""Every command block of README and docs: its commands compose, its Python imports, its YAML parses."""

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
TARGETS = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
MODULES = {"docs", "benchmarks", "pytest", "venv", "medzoo"}
LAUNCHERS = {"srun", "torchrun"}
ELSEWHERE = {"git", "cd", "source", "wandb", "pre-commit"}


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
    compose(folder, *cli._overrides(first, verb), config_name=verb)


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
