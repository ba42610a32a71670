"""The options that configure a network and its training, shared by the sub-commands that take them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from spikesim.cli.common import data_dir_option
from spikesim.cli.completion import complete_key, complete_setting
from spikesim.cli.help_groups import grouped
from spikesim.errors import InputError
from spikesim.runtime.manual import manual

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from spikesim.datasets import Dataset
    from spikesim.ep.config.parsing import Config
    from spikesim.ep.runs.reader import RunReader

__all__ = [
    "check_run_options",
    "configuration_options",
    "option_for",
    "option_words",
    "resolve",
    "take_teacher",
    "teacher_option",
    "tested",
]

# Options that stand for a key of the configuration, in the order of --help.
_KEYS: tuple[tuple[str, str, Any], ...] = (
    ("--preset", "preset", str),
    ("--arch", "model.arch", str),
    ("--dataset", "data.dataset", str),
    ("--width", "model.width", float),
    ("--epochs", "optimizer.epochs", int),
    ("--patience", "optimizer.patience", int),
    ("--batch-size", "data.batch_size", int),
    ("--limit", "data.limit", int),
    ("--validation", "data.validation", float),
    ("--test-limit", "data.test_limit", int),
    ("--steps-free", "dynamics.steps_free", int),
    ("--steps-nudged", "dynamics.steps_nudged", int),
    ("--tolerance", "dynamics.tolerance", float),
    ("--residual-tolerance", "dynamics.residual_tolerance", float),
    ("--beta", "dynamics.beta", float),
    ("--inference", "dynamics.inference", str),
    ("--noise", "dynamics.noise", str),
    ("--firing", "dynamics.firing", str),
    ("--pooling", "dynamics.pooling", str),
    ("--normalization", "model.normalization", str),
    ("--dropout", "model.dropout", float),
    ("--signals", "error_signals.kind", str),
    ("--target-rate", "stability.target_rate", float),
    ("--init-from", "model.weights", str),
    ("--freeze", "optimizer.freeze", str),
    ("--seed", "seed", int),
)


GROUPS = {
    "preset": "Configuration",
    "seed": "Configuration",
    "model": "Network",
    "data": "Data",
    "dynamics": "Dynamics",
    "error_signals": "Learning",
    "stability": "Learning",
    "optimizer": "Learning",
}
"""Headings of help, by section or key."""


def configuration_options(*, without: tuple[str, ...] = ()) -> Callable[[Any], Any]:
    """Add the options of the configuration to a command.

    One for each of the keys, whose help and default are those of the configuration, passed under the key's name with
    two underscores for the dot; then `data_dir`, `config_file` and `settings`.

    Parameters
    ----------
    without : tuple of str
        Options of keys that the command has no use for.
    """
    from spikesim.ep.config.parsing import describe

    rows = {key: (default, allowed, text) for key, default, allowed, text in describe()}

    def add(command: Any) -> Any:
        for option in reversed(_GENERAL):
            command = option(command)
        for flag, key, kind in reversed(_KEYS):
            if flag in without:
                continue
            default, allowed, text = rows[key]
            notes = [f"[{allowed}]"] if allowed else []
            if default not in (None, "", ()):
                notes.append(f"[default: {default}]")
            option = grouped(
                GROUPS[key.partition(".")[0]],
                flag,
                key.replace(".", "__"),
                type=kind,
                help=" ".join([text, *notes]),
                shell_complete=complete_key(key),
            )
            command = option(command)
        return command

    return add


_GENERAL = (
    data_dir_option,
    grouped(
        "Configuration",
        "--config",
        "config_file",
        type=click.Path(path_type=Path),
        help=f"TOML file with any key of the configuration ({manual('configuration')}).",
    ),
    grouped(
        "Configuration",
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        shell_complete=complete_setting,
        help="Set any key of the configuration, after the file and before the other options; may be repeated.",
    ),
)


def resolve(
    config_file: Path | None,
    settings: tuple[str, ...],
    options: Mapping[str, Any],
    start: Mapping[str, Any] | None = None,
) -> "Config":
    """The configuration of a command line.

    Parameters
    ----------
    config_file : path of a TOML file, or None
    settings : ``key=value`` texts
    options : key, or its name as a parameter, to value; None for an option that was not given
    start : values that stand before all of these, such as those of a run; not together with a file. A preset that is
        given replaces them where it has keys of its own.
    """
    from spikesim.ep.config.parsing import make_config, merge, parse_setting
    from spikesim.ep.config.sections.presets import DEFAULT, PRESETS
    from spikesim.io.toml import read_toml

    chosen = PRESETS.get(options.get("preset") or DEFAULT)
    changes = () if chosen is None or start is None else chosen.keys.items()
    values = merge(dict(start or {}), changes) if config_file is None else read_toml(config_file)
    values = merge(values, [parse_setting(text) for text in settings])
    given = [(key.replace("__", "."), value) for key, value in options.items() if value is not None]
    return make_config(merge(values, given))


def check_run_options(run: str | None, config_file: Path | None, weights: str) -> None:
    """Refuse options of a gradient check that contradict each other.

    Raises
    ------
    InputError
    """
    if run is not None and config_file is not None:
        raise InputError("give either --run or --config; a run has its configuration, which --set changes")
    if run is None and weights == "best":
        raise InputError("--weights best needs a run; add --run RUN.h5, or leave it out")


def tested(reader: "RunReader", settings: tuple[str, ...], options: Mapping[str, Any]) -> "Config":
    """The configuration of a run as it is tested.

    Parameters
    ----------
    settings : ``key=value`` texts
    options : those of evaluate, by the names of their parameters

    Raises
    ------
    InputError
        A setting is not one of a test.
    """
    from spikesim.ep.config.parsing import config_of_run, parse_setting

    chosen = [parse_setting(text) for text in settings]
    for key, value in chosen:
        if not key.startswith("dynamics.") and key != "error_signals.answer":
            allowed = "keys of dynamics, as dynamics.firing=iid, and error_signals.answer"
            raise InputError(f"--set {key}={value}: a test can only change {allowed}")
    names = {
        "data.dataset": "dataset",
        "dynamics.inference": "inference",
        "data.test_limit": "test_limit",
        "dynamics.steps_free": "steps_free",
    }
    given = [(key, options[name]) for key, name in names.items() if options[name] is not None]
    return config_of_run(reader.config, [*chosen, *given])


def option_words(
    config_file: Path | None, settings: tuple[str, ...], options: Mapping[str, Any], data_dir: Path | None
) -> list[str]:
    """The words of a command line that configures the same; parameters as `resolve`."""
    words = [] if config_file is None else ["--config", str(config_file)]
    for text in settings:
        words += ["--set", text]
    for flag, key, _ in _KEYS:
        value = options.get(key.replace(".", "__"))
        if value is not None:
            words += [flag, str(value)]
    return words if data_dir is None else [*words, "--data-dir", str(data_dir)]


def option_for(name: str, command: click.Command) -> str | None:
    """What sets the key of the configuration that somebody meant by an option which a command has not.

    Parameters
    ----------
    name : str
        As it was given, ``--lr``.
    command : click.Command

    Returns
    -------
    str or None
        An option of the command, or ``--set`` with a key. None where the command does not set all keys, or no key has
        such a name.
    """
    from spikesim.ep.config.parsing import all_keys
    from spikesim.ep.config.suggestions import known_as

    options = {option for parameter in command.params for option in parameter.opts}
    key = known_as(name.lstrip("-"), all_keys())
    if key is None or not {"--config", "--set"} <= options:
        return None
    flag = next((flag for flag, own, _ in _KEYS if own == key and flag in options), None)
    return flag or f"--set {key}=VALUE"


teacher_option = grouped(
    "Learning",
    "--teacher",
    "teacher_file",
    metavar="FILE.h5",
    type=click.Path(path_type=Path),
    help=f"Teacher file ({manual('teacher-file')}), for signals kd and both; 'spikesim teacher' makes one of a run.",
)


def take_teacher(config: "Config", dataset: "Dataset", path: Path) -> "tuple[Config, NDArray[np.float64]]":
    """The configuration with the digest of a teacher file, and the teacher's softened answers.

    The digest stands for the teacher in the configuration and the path does not, so that a run goes on with the same
    logits only, wherever they lie.

    Raises
    ------
    InputError
        The signals have no use for a teacher, or the configuration names another one.
    """
    from spikesim.ep.config.parsing import make_config, merge
    from spikesim.ep.inputs.teacher import read_teacher, soften
    from spikesim.ep.network.error_signals import has_teacher

    signals = config.error_signals
    if not has_teacher(signals):
        raise InputError(
            f"--teacher is not used with error_signals.kind {signals.kind!r}; leave it out, or add --signals kd or both"
        )
    teacher = read_teacher(path, dataset)
    if signals.teacher not in ("", teacher.digest):
        raise InputError(
            f"error_signals.teacher is {signals.teacher!r}, but the digest of {path} is {teacher.digest!r}; "
            "give the file of that digest, or leave the key out"
        )
    named = make_config(merge(config.to_dict(), [("error_signals.teacher", teacher.digest)]))
    return named, soften(teacher.logits, signals.temperature)
