"""Compilation of kernels: one decorator, and a cache that is never stale.

Numba's own cache looks only at the file that holds a function: after an edit of a kernel in one file it goes on using
the compiled callers in other files, silently. Here the cache folder is named after a hash of all sources of the
package and of the compiler's version, so that any edit starts a new folder. A damaged cache file counts as absent.
"""

import contextlib
import functools
import hashlib
import os
import pickle
import platform
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import llvmlite
import numba
from numba.core import caching, config

Function = TypeVar("Function", bound=Callable[..., Any])

JIT = not config.DISABLE_JIT
PLAIN_LOOPS = not JIT or os.environ.get("SPIKESIM_PLAIN_LOOPS", "0") not in ("", "0")
"""Plain loops in place of the hand-built vector code: the same bits, slower; for tests and compilers that refuse it."""

_DAMAGED = (EOFError, pickle.UnpicklingError, ValueError, TypeError, KeyError, AttributeError, ImportError, IndexError)


@functools.cache
def source_hash() -> str:
    """Hash of every Python source of the package and of the versions that decide what they compile to.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    root = Path(__file__).resolve().parent
    digest = hashlib.sha256()
    for part in (sys.version, numba.__version__, llvmlite.__version__, platform.machine(), str(PLAIN_LOOPS)):
        digest.update(part.encode())
    digest.update(str(bool(config.BOUNDSCHECK)).encode())
    for folder, _, names in sorted(os.walk(root, followlinks=True)):
        for name in sorted(names):
            if name.endswith(".py"):
                path = Path(folder, name)
                digest.update(str(path.relative_to(root)).encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


@functools.cache
def cache_folder() -> Path:
    """Folder of the compiled kernels of exactly these sources.

    $NUMBA_CACHE_DIR, else $XDG_CACHE_HOME/spikesim, else ~/.cache/spikesim, whichever comes first and can be written;
    else a private folder below the system's temporary one. The cache holds code that will be run, so a folder that
    belongs to somebody else is never used.

    Returns
    -------
    pathlib.Path
    """
    bases = []
    if config.CACHE_DIR:
        bases.append(Path(config.CACHE_DIR))
    if os.environ.get("XDG_CACHE_HOME"):
        bases.append(Path(os.environ["XDG_CACHE_HOME"], "spikesim"))
    with contextlib.suppress(RuntimeError):  # no home folder
        bases.append(Path.home() / ".cache" / "spikesim")
    bases.append(Path(tempfile.gettempdir(), f"spikesim-{os.getuid()}"))
    for base in bases:
        folder = base / source_hash()
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            info = folder.stat()
            private = info.st_uid == os.getuid() and not info.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
            if private and os.access(folder, os.W_OK | os.X_OK):
                return folder
        except OSError:
            continue
    return Path(tempfile.mkdtemp(prefix="spikesim-"))


class _Locator(caching._CacheLocator):  # type: ignore[misc]
    """Tells Numba's cache where its files are and which sources they were made from."""

    def __init__(self, py_func: Any, py_file: str) -> None:
        self._disambiguator = str(py_func.__code__.co_firstlineno)

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> "_Locator":
        return cls(py_func, py_file)

    def get_cache_path(self) -> str:
        return str(cache_folder())

    def get_source_stamp(self) -> str:
        return source_hash()

    def get_disambiguator(self) -> str:
        return self._disambiguator


class _Implementation(caching.CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = (_Locator,)


class _Cache(caching.FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function, in our folder; what cannot be read or written is compiled anew."""

    _impl_class = _Implementation

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except (*_DAMAGED, OSError):
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except _DAMAGED:  # the index cannot be read: start a new one
            with contextlib.suppress(OSError):
                self.flush()
                super().save_overload(sig, data)
        except OSError:  # a full disk costs the next start its time, not this run its result
            pass


def kernel(function: Function) -> Function:
    """Compile a function of arrays and scalars: without the GIL, cached, in strict floating point.

    With NUMBA_DISABLE_JIT=1 the function stays plain Python and gives the same bits.
    """
    compiled = numba.njit(nogil=True, error_model="numpy")(function)
    if JIT:
        compiled._cache = _Cache(compiled.py_func)
    return compiled  # type: ignore[no-any-return]


def inline_kernel(function: Function) -> Function:
    """Compile a small helper into each of its callers."""
    return numba.njit(nogil=True, error_model="numpy", inline="always")(function)  # type: ignore[no-any-return]
