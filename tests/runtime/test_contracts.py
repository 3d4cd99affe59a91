"""Every class of the zoo that has a member of a contract has it as `runtime/contracts/` says."""

import importlib
import inspect
import pkgutil
import re

import pytest

from medzoo.runtime import contracts
from tests.conftest import ROOT

ROOMS = {
    "datamodules": "DataModule Waits NamesClasses UsesClasses KnowsSeen Normalises HasImages OrderedSplits CaseTables"
    " PatientTables LeavesOut DescribesBatch TellsWaiting",
    "lightning_modules": "LogsMetrics Receives Finalizes SaysItsSteps SaysItsStrategy ChecksCases TakesOptions Exports"
    " PreparesBatches",
    "models": "Fitted",
    "callbacks": "Writer Begins",
    "runtime.comparisons": "Compares",
}
SUBSET = {"set_prediction"}  # a module takes the options that it knows
NO_DATA = {"ResumableBatches"}  # iterables with a state of their own


def classes(room):
    """All classes that are defined in a room."""
    package = importlib.import_module(f"medzoo.{room}")
    below = pkgutil.walk_packages(getattr(package, "__path__", ()), f"{package.__name__}.")
    names = [package.__name__, *(module.name for module in below)]
    for name in names:
        module = importlib.import_module(name)
        for cls in vars(module).values():
            if inspect.isclass(cls) and cls.__module__ == name and cls.__name__ not in NO_DATA:
                yield cls


def members(protocol):
    own = {name: value for name, value in vars(protocol).items() if not name.startswith("_") or name == "__call__"}
    return {name: value for name, value in own.items() if callable(value) or isinstance(value, property)}


def kinds(function):
    """Arguments and whether they are gathered: (`splits`, *) is another contract than (`splits`)."""
    gathered = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [(p.name, p.kind in gathered) for p in inspect.signature(function).parameters.values()]


def implementations():
    for room, names in ROOMS.items():
        for cls in classes(room):
            for protocol in (getattr(contracts, name) for name in names.split()):
                for name, asked in members(protocol).items():
                    if name in vars(cls):
                        yield pytest.param(cls, name, asked, id=f"{cls.__name__}.{name}")


@pytest.mark.parametrize(("cls", "name", "asked"), implementations())
def test_the_zoo_keeps_its_contracts(cls, name, asked):
    given = vars(cls)[name]
    if isinstance(asked, property):
        assert not inspect.isfunction(given), f"{name} is a property or an attribute"
    elif name in SUBSET:
        assert set(kinds(given)) <= set(kinds(asked))
    else:
        assert kinds(given) == kinds(asked)


def test_every_contract_is_tested_or_named_by_prepare():
    tested = {name for names in ROOMS.values() for name in names.split()}
    assert tested | {"Prepares", "ChecksFolder", "KeepsEntries", "Pretrained"} == set(contracts.__all__)


def test_no_contract_stands_beside_them():
    names = "|".join(name for protocol in contracts.__all__ for name in members(getattr(contracts, protocol)))
    for file in (ROOT / "runtime").rglob("*.py"):
        asked = re.search(rf"(has|get)attr\([\w.]+, .({names}).[,)]", file.read_text())
        assert not asked, f"{file}: {asked[0]}"
