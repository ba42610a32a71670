"""Commands besides train that can be batch jobs, and what they would refuse at their start."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from spikesim.errors import InputError

__all__ = ["OTHERS", "Job", "check_job"]

OTHERS = ("evaluate", "gradcheck", "simulate")
"""Names of the commands."""


class Job(NamedTuple):
    """A command as a job.

    Attributes
    ----------
    beside : Path
        Script and log are beside this file, and named after it.
    resumes : bool
        It ends with 75 when it is stopped, and with --resume it goes on.
    """

    beside: Path
    resumes: bool = False


def check_job(name: str, given: Mapping[str, Any], *, skip_data: bool, processes: int) -> Job:
    """Do what a command does before it computes.

    Parameters
    ----------
    name : str
        One of `OTHERS`.
    given : mapping of str to Any
        Its parameters, by name.
    skip_data : bool
        The data set and the teacher are not here.
    processes : int
        That the job starts.

    Raises
    ------
    InputError
        As the command would.
    """
    if name == "simulate":
        return _simulation(given, processes)
    return (_test if name == "evaluate" else _gradient_check)(given, skip_data)


def _simulation(given: Mapping[str, Any], processes: int) -> Job:
    from spikesim.sparse.description import read_network

    if processes > 1:
        raise InputError(f"the job has {processes} processes; simulate runs as one, with --cpus-per-task threads")
    settings = {key: given[key] for key in ("trials", "seed") if given[key] is not None}
    read_network(given["network"], **settings)
    out = Path(os.path.abspath(given["out"]))
    if not out.parent.is_dir():
        raise InputError(f"the folder {out.parent} does not exist; make it, or choose another --out")
    return Job(out, resumes=True)


def _test(given: Mapping[str, Any], skip_data: bool) -> Job:
    from spikesim.cli.configuration import tested
    from spikesim.ep.inputs.dataset import load_of_run
    from spikesim.ep.runs.reader import RunReader

    with RunReader(given["run"]) as reader:
        config = tested(reader, given["settings"], given)
        reader.weights(given["weights"])
        if not skip_data:
            load_of_run(config, reader, given["data_dir"])
    return Job(Path(os.path.abspath(f"{given['run']}.evaluate")))


def _gradient_check(given: Mapping[str, Any], skip_data: bool) -> Job:
    from spikesim.cli.configuration import check_run_options, resolve, take_teacher
    from spikesim.ep.config.parsing import as_recorded
    from spikesim.ep.inputs.dataset import load_dataset, load_of_run
    from spikesim.ep.network.architectures import architecture
    from spikesim.ep.network.error_signals import check_teacher
    from spikesim.ep.network.model import Model
    from spikesim.ep.runs.reader import RunReader

    keys = {key: value for key, value in given.items() if "__" in key or key in ("seed", "preset")}
    run, settings, teacher = given["run"], given["settings"], given["teacher_file"]
    check_run_options(run, given["config_file"], given["weights"])
    beside = Path(os.path.abspath("gradcheck" if run is None else f"{run}.gradcheck"))
    if run is None:
        config = resolve(given["config_file"], settings, keys)
        found = None if skip_data else load_dataset(config, given["data_dir"])
    else:
        with RunReader(run) as reader:
            config = resolve(None, settings, keys, as_recorded(reader.config))
            found = None if skip_data else load_of_run(config, reader, given["data_dir"])
    architecture(config.model.arch, config.model.layers)
    check_teacher(config.error_signals, teacher is not None)
    if found is not None:
        config, dataset = found
        if teacher is not None:
            config, _ = take_teacher(config, dataset, teacher)
        Model(config, dataset)
    return Job(beside)
