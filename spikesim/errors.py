"""What the program tells a user who asked for something that it cannot do."""


class InputError(ValueError):
    """Something that the user gave is wrong: a value, a file, a combination.

    The message is one line that says what is wrong, the value, what is allowed and what to do. The command line
    prints it without a traceback and exits with code 2.
    """


class DamagedError(InputError):
    """A file is not what it must have been: cut, overwritten, or on a disk that no longer gives it back."""


class Stopped(Exception):
    """A stop was asked for (a signal, or the caller's own flag) and the work in progress was dropped."""
