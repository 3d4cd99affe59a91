"""From the command line to a verb: composes the config, reports mistakes in one line, and starts jobs of a sweep.

Exit codes: 0 done; 2 something given was wrong (one line says what, nothing was trained or written over); 1 the
program failed (with a traceback), or `prepare.py check=<folder>` found faults. MEDZOO_TRACEBACK=1 shows the traceback
behind a mistake too.
"""

import importlib
import os
import re
import sys
from pathlib import Path
from typing import Any

import hydra
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from medzoo.runtime.check import did_you_mean
from medzoo.runtime.composing.compose import compose, config_dir_of, split_flags
from medzoo.runtime.composing.explain import explain
from medzoo.runtime.composing.resolvers import register_resolvers
from medzoo.runtime.environment import CONF, IN_CHECKOUT, SCRIPTS
from medzoo.runtime.errors import UserError, user_errors
from medzoo.runtime.output import run_folder
from medzoo.runtime.training.together import started_processes

__all__ = ["main", "words_for_hydra"]

MULTIRUN = {"-m", "--multirun"}
# Keys below these need no +, although the composed config lacks them: they are checked against what they change.
_FREE = {
    "train": ("stages.",),
    "evaluate": ("datamodule.", "lightning_module."),
    "predict": ("datamodule.", "lightning_module.", "perturb."),
    "prepare": (),
    "export": (),
}


def main(verb: str) -> None:
    """Run a verb with the config that the command line describes; does not return on a mistake.

    Args:
        verb: Its root config in `conf/`, and its file and function in `runtime/verbs/`. It is imported after the config
            is composed, so that `--help` and a typo need not wait for PyTorch.
    """
    if sys.path[0] == str(SCRIPTS) and not IN_CHECKOUT:
        del sys.path[0]  # in a wheel, `import evaluate` would find our script there
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra raises its errors instead of printing them
    register_resolvers()
    try:
        sys.argv[1:] = words_for_hydra(sys.argv[1:], verb)
        if verb == "train" and {"job", "--resolve"} <= set(sys.argv):  # Hydra cannot know what a stage is
            _show(_composed(sys.argv[1:], verb))
            return
        if verb == "train" and _estimates(sys.argv[1:]):  # Hydra would make a run folder
            config = _composed(sys.argv[1:], verb)
            _check_top_level(config)
            with user_errors(kinds=(ImportError,)):
                importlib.import_module("medzoo.runtime.verbs.train").print_estimate(config)
            return
        decorate = hydra.main(version_base="1.3", config_path=str(CONF), config_name=verb)
        decorate(lambda config: _job(verb, config))()
    except UserError as error:
        _stop(str(error), error)
    except (HydraException, OmegaConfBaseException) as error:
        _stop(explain(error, verb, sys.argv[1:]), error)


def _show(config: DictConfig) -> None:
    plan = importlib.import_module("medzoo.runtime.plan").make_plan(config)
    print(OmegaConf.to_yaml(OmegaConf.create(plan.config())), end="")


def _estimates(arguments: list[str]) -> bool:
    if not any(word.lstrip("+").lower() == "estimate=true" for word in arguments):
        return False
    if MULTIRUN & {*arguments}:
        raise UserError("estimate=true looks at one run: leave out -m")
    return True


def _job(verb: str, config: DictConfig) -> Any:
    """Run the verb, or its process in a sweep; a mistake ends this process without Hydra's own messages."""
    try:
        _check_top_level(config)
        with user_errors(kinds=(ImportError,)):
            if verb == "train" and HydraConfig.get().mode == RunMode.MULTIRUN:
                return importlib.import_module("medzoo.runtime.output.sweep").run_job(config)
            return getattr(importlib.import_module(f"medzoo.runtime.verbs.{verb}"), verb)(config)
    except UserError as error:
        _stop(str(error), error)


def _check_top_level(config: DictConfig) -> None:
    """Refuse keys that nothing reads: Hydra would accept `+foo=1` and it would be ignored."""
    name = HydraConfig.get().job.config_name
    root = OmegaConf.load(CONF / f"{name}.yaml")
    groups = [str(name) for default in root.defaults if isinstance(default, DictConfig) for name in default]
    known = {str(key) for key in root} | {re.split("[@ ]", group)[-1] for group in groups}
    known |= {"datamodule", "lightning_module"}  # evaluate and predict change those of the checkpoint
    known -= {"hydra", "defaults", "hydra/job_logging", "local", "debug", "experiment", "preset", "search"}
    for key in map(str, config):
        if key not in known:
            raise UserError(f"{key}: no such key; {did_you_mean(key, known)}")


def _stop(message: str, error: BaseException) -> None:
    if os.environ.get("MEDZOO_TRACEBACK") == "1":
        raise error
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def words_for_hydra(arguments: list[str], config_name: str) -> list[str]:
    """The command line as Hydra takes it; with `auto_resume=true`, also the folder of the run to resume.

    Args:
        arguments: Of a verb.
        config_name: The verb, which is also the name of its config.

    Raises:
        UserError: If a flag is unknown, or the verb cannot do what is asked.
    """
    _check_flags(arguments)
    if config_name not in ("train", "prepare") and MULTIRUN & set(arguments):
        raise UserError(f"{config_name}.py runs once: leave out -m")
    flags, settings = split_flags(arguments)
    arguments = [*flags, *(f"++{word}" if word.startswith(_FREE[config_name]) else word for word in settings)]
    _check_folder_is_named(arguments, config_name)
    if config_name != "train":
        return arguments
    single = "LOCAL_RANK" not in os.environ and not MULTIRUN & set(arguments)
    text = " ".join(arguments)
    if "auto_resume" not in text or "hydra.run.dir=" in text or not single:
        return arguments
    config = _composed(arguments, config_name)
    runs = Path(HydraConfig.get().run.dir).parent
    HydraConfig.instance().cfg = None
    found = run_folder.find_unfinished(runs, config) if config.auto_resume else None
    return [*arguments, f'hydra.run.dir="{found}"'] if found else arguments


def _check_folder_is_named(arguments: list[str], config_name: str) -> None:
    """Processes that start together must share a folder; by default its name is the second in which one started."""
    named = config_name not in ("train", "evaluate") or "hydra.run.dir=" in " ".join(arguments)
    if started_processes() > 1 and not named:
        raise UserError(
            "processes that torchrun or srun starts need one folder: add hydra.run.dir=outputs/<a name of yours>"
        )


def _check_flags(arguments: list[str]) -> None:
    """Refuse flags that Hydra would complete by itself, and combinations that make no sense."""
    flags = {flag for action in get_args_parser()._actions for flag in action.option_strings}
    for argument in arguments:
        name = argument.partition("=")[0]
        if name.startswith("--") and name not in flags:
            if "=" in argument:
                raise UserError(f"{argument}: settings are written without dashes: {argument.lstrip('-')}")
            raise UserError(f"{argument}: no such flag; {did_you_mean(argument, flags)}")
        if name in ("--config-name", "-cn", "--config-path", "-cp"):
            raise UserError(f"{name}: a verb has its own configs; add a folder of yours with --config-dir <folder>")
    folder = config_dir_of(arguments)
    if folder is not None and not Path(folder).is_dir():
        raise UserError(f"--config-dir {folder}: no such folder")
    shown = any(argument.partition("=")[0] in ("--cfg", "-c") for argument in arguments)
    if shown and MULTIRUN & {*arguments}:
        raise UserError("--cfg shows the config of one run: leave out -m")
    if "--resolve" in arguments and not shown:
        raise UserError("--resolve belongs to --cfg: write --cfg job --resolve")


def _composed(arguments: list[str], config_name: str) -> DictConfig:
    return compose(config_name, split_flags(arguments)[1], config_dir_of(arguments))
