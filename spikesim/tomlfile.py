"""Reading TOML files."""

import sys
from pathlib import Path
from typing import Any

from spikesim.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["read_toml", "tomllib"]


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file.

    Raises
    ------
    InputError
        The file is missing or not TOML.
    """
    try:
        text = Path(path).read_bytes().decode()
        return tomllib.loads(text)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or thousands of digits or of brackets
        raise InputError(f"{path} is not TOML: {' '.join(str(error).split())}") from None
