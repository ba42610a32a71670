"""The ``spikesim`` command: a file per sub-command, imported when it is asked for.

Imports all of the program; nothing outside `cli` imports it but `spikesim.__main__`.
"""

import errno
import importlib
import os
import sys
import traceback
from collections.abc import Mapping
from typing import Any

import click

from spikesim import __version__
from spikesim.cli.launch import end_together
from spikesim.cli.terminal.streams import EXIT_PIPE, OutputLost, guarded_streams, plain_warnings
from spikesim.errors import InputError, Stopped
from spikesim.io.fields import short_words
from spikesim.runtime.printable import printable
from spikesim.runtime.stopping import EXIT_STOPPED

__all__ = ["main"]

# The simulator's own threads carry the matrix products. A BLAS that starts its own threads in each of them makes the
# program slower, and it reads these variables only once, when numpy is imported.
for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

EXIT_ERROR = 1
EXIT_FAULT = 2
EXIT_INTERRUPTED = 130
COMPLETION = "_SPIKESIM_COMPLETE"
"""Is set where a shell asks what may stand in a command line."""
NAME_MAX = 255
"""Bytes of a name in a folder, at most, on any file system in use."""
NAME_SHOWN = 40
"""Letters of a name that is too long, in the message that says so."""


class LazyGroup(click.Group):
    """A group that imports a sub-command only when it runs, and knows what an error of the program means.

    Parameters
    ----------
    subcommands : mapping of str to (str, str)
        Name of the sub-command to its ``"module:attribute"`` and its line in the group's help.
    """

    def __init__(self, *args: Any, subcommands: Mapping[str, tuple[str, str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._subcommands = subcommands

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the sub-commands, in the order of the table."""
        return list(self._subcommands)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a sub-command."""
        if cmd_name not in self._subcommands:
            return None
        module, _, attribute = self._subcommands[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of sub-commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._subcommands.items()])

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command, and say in one line if what it prints cannot be written."""
        if COMPLETION in os.environ:  # click answers a shell in bytes
            return super().main(*args, **kwargs)
        with guarded_streams(), plain_warnings():
            try:
                try:
                    return super().main(*args, **kwargs)
                finally:
                    sys.stdout.flush()
            except OutputLost as lost:
                if lost.is_pipe:
                    sys.exit(EXIT_PIPE)
                click.echo(f"Error: {lost}", err=True)
                sys.exit(EXIT_FAULT)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a sub-command; turn what stops it into one line and an exit code."""
        try:
            return super().invoke(ctx)
        except OutputLost:
            raise
        except InputError as error:
            code, message = EXIT_FAULT, f"Error: {_in_one_line(str(error))}"
        except click.UsageError as error:
            if error.ctx is None or error.message == error.ctx.get_help():
                raise  # a group without a sub-command shows its help
            code = EXIT_FAULT
            text = _in_one_line(_usage_text(error)).rstrip(".")
            message = f"Error: {text}; see '{error.ctx.command_path} --help'"
        except Stopped as stop:
            code, message = EXIT_STOPPED, str(stop) or "Stopped."
        except MemoryError as error:
            code, message = (
                EXIT_FAULT,
                f"Error: out of memory{f' ({error})' if str(error) else ''}; lower the sizes or find more memory",
            )
        except KeyboardInterrupt:
            code, message = EXIT_INTERRUPTED, ""
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
                code = EXIT_FAULT
                message = f"Error: the file name {_shortened(str(error.filename))} is too long; choose a shorter one"
            elif ctx.obj is None:
                raise
            else:
                code, message = EXIT_ERROR, traceback.format_exc().rstrip()
        end_together(ctx.obj, code, message, ctx.invoked_subcommand)
        ctx.exit(code)


def _usage_text(error: click.UsageError) -> str:
    """What a message of the parser says, with the key that is meant by an option that a command has not."""
    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        from spikesim.cli.configuration import option_for

        meant = option_for(error.option_name, error.ctx.command)
        if meant is not None:
            return f"No such option '{error.option_name}'. Did you mean {meant}?"
    return error.format_message()


def _in_one_line(text: str) -> str:
    """A message, in which texts of files and of users may stand, as it may be shown."""
    return printable(short_words(" ".join(text.splitlines())))


def _shortened(name: str) -> str:
    """What is too long of a path, its last part or all of it, by its beginning and its length."""
    last = os.path.basename(name)
    long = last if len(os.fsencode(last)) > NAME_MAX else name
    return f"{long[:NAME_SHOWN] + '...'!r} of {len(os.fsencode(long))} bytes"


@click.group(
    cls=LazyGroup,
    subcommands={
        "train": ("spikesim.cli.commands.train:train", "Train a network by equilibrium propagation."),
        "resume": ("spikesim.cli.commands.resume:resume", "Continue the training of a run file, or add epochs to it."),
        "sweep": ("spikesim.cli.commands.batch.sweep:sweep", "Train the members of a sweep on this machine."),
        "submit": (
            "spikesim.cli.commands.batch.submit:submit",
            "Submit a training or a sweep to a cluster with Slurm.",
        ),
        "gradcheck": (
            "spikesim.cli.commands.gradcheck:gradcheck",
            "Compare the gradient estimates with the exact gradient.",
        ),
        "ablation": (
            "spikesim.cli.commands.ablation:ablation",
            "Check the gradients over depths and kinds of error signals.",
        ),
        "evaluate": ("spikesim.cli.commands.evaluate:evaluate", "Test the network of a run file."),
        "predict": (
            "spikesim.cli.commands.predict:predict",
            "Classify samples without labels with the network of a run.",
        ),
        "report": ("spikesim.cli.commands.report:report", "Show the results of a run, or compare several."),
        "watch": ("spikesim.cli.commands.watch:watch", "Follow a run that another process writes."),
        "teacher": (
            "spikesim.cli.commands.teacher:teacher",
            "Write a network's logits on the training images to a teacher file.",
        ),
        "export": ("spikesim.cli.commands.export:export", "Write a run in formats of other programs."),
        "import": ("spikesim.cli.commands.import_run:import_", "Make a run file from weights trained elsewhere."),
        "simulate": ("spikesim.cli.commands.simulate:simulate", "Run a sparse network that a TOML file describes."),
        "info": ("spikesim.cli.commands.info:info", "Show the configuration, the state and the digest of a run file."),
        "presets": (
            "spikesim.cli.commands.presets:presets",
            "List the presets and their keys.",
        ),
        "data": ("spikesim.cli.commands.data:data", "List, check and fetch data sets."),
        "manual": ("spikesim.cli.commands.installation.manual:manual", "Read a page of the manual."),
        "cache": ("spikesim.cli.commands.installation.cache:cache", "Show or clean the compiled kernels on the disk."),
        "completion": (
            "spikesim.cli.commands.installation.completion:completion",
            "Print the script that completes options and values in a shell.",
        ),
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, "-V", "--version", prog_name="spikesim")
def main() -> None:
    """Equilibrium propagation in networks of probabilistic spiking neurons.

    Exit codes: 0 success, 2 invalid input, 75 stopped by a signal and resumable with --resume.
    """
