"""The command that goes on with what a command was doing when it stopped."""

import shlex

__all__ = ["resume_advice"]


def resume_advice(command_line: str) -> str:
    """How to go on, with the command line in full, ready to be copied.

    Parameters
    ----------
    command_line : str
        As `shlex.join` made it; empty where there was none, in a script.
    """
    advice = "the same command with --resume continues from there"
    if not command_line:
        return advice
    words = [word for word in shlex.split(command_line) if word not in ("--resume", "--overwrite")]
    if words[1:2] == ["resume"]:
        return f"the same command continues from there: {shlex.join(words)}"
    return f"{advice}: {shlex.join([*words, '--resume'])}"
