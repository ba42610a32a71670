"""Compilation of kernels: one decorator, and a cache that is never stale.

Numba's own cache looks only at the file that holds a function: after an edit of a kernel in one file it goes on using
the compiled callers in other files, silently. Here the cache folder is named after a hash of the compiler's version and
of all sources that a kernel can see, so that an edit of one starts a new folder. Where that folder is, and what of it
is read, says kernelcache.py.
"""

import contextlib
import functools
import hashlib
import os
import pickle
import platform
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import llvmlite
import numba
from numba.core import caching, config

from spikesim import __version__
from spikesim.jit.cache_contents import sign
from spikesim.jit.kernel_cache import CacheFolder, KernelFiles, find_folder

Function = TypeVar("Function", bound=Callable[..., Any])

JIT = not config.DISABLE_JIT
PLAIN_LOOPS = not JIT or os.environ.get("SPIKESIM_PLAIN_LOOPS", "0") not in ("", "0")
"""Plain loops in place of the hand-built vector code: the same bits, slower; for tests and compilers that refuse it."""

_UNREADABLE = (OSError, EOFError, pickle.UnpicklingError, ValueError, TypeError, KeyError, AttributeError, ImportError)
"""What a whole entry can still meet: another Numba that calls its version the same, for one."""


_IMPORT = re.compile(
    r"^\s*(?:from\s+(spikesim[\w.]*)\s+import\s+(\([^)]*\)|[^\n]*)|import\s+(spikesim[\w.]*))", re.MULTILINE
)
_FOR_TYPE_CHECKERS = re.compile(r"^if TYPE_CHECKING:\n(?:[ \t]+[^\n]*\n|\n)+", re.MULTILINE)
_USES_KERNELS = re.compile(r"^\s*@(?:\w+\.)?(?:inline_)?kernel\b|\bintrinsic\b", re.MULTILINE)


@functools.cache
def source_hash() -> str:
    """Hash of the sources that compiled code depends on, and of the versions that decide what they compile to.

    These are the files of the package with kernels, and those that they import, directly or not: compiled code has
    frozen in it what it calls and the constants that it reads.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for part in (sys.version, numba.__version__, llvmlite.__version__, platform.machine(), str(PLAIN_LOOPS)):
        digest.update(part.encode())
    digest.update(str(bool(config.BOUNDSCHECK)).encode())
    for name, text in _compiled_sources(root):
        digest.update(name.encode())
        digest.update(text)
    return digest.hexdigest()[:16]


def _compiled_sources(root: Path) -> list[tuple[str, bytes]]:
    """Names, such as ``spikesim.ep.phases.workspace``, and contents of the files of the package that kernels depend
    on."""
    texts = {}
    for folder, _, names in os.walk(root, followlinks=True):
        for name in names:
            if name.endswith(".py"):
                path = Path(folder, name)
                parts = ("spikesim", *path.relative_to(root).with_suffix("").parts)
                texts[".".join(part for part in parts if part != "__init__")] = path.read_bytes()
    pending = [name for name, text in texts.items() if _uses_kernels(text)]
    needed = set(pending)
    while pending:
        for name in _imports(texts[pending.pop()].decode("utf-8", "replace")):
            if name in texts and name not in needed:
                needed.add(name)
                pending.append(name)
    return [(name, texts[name]) for name in sorted(needed)]


def _uses_kernels(text: bytes) -> bool:
    """Whether a source has something that is compiled; most have not even one of the words, which is found fast."""
    return (b"kernel" in text or b"intrinsic" in text) and bool(_USES_KERNELS.search(text.decode("utf-8", "replace")))


def _imports(text: str) -> set[str]:
    """Modules of the package that a source imports when it runs, and names in them that may be modules."""
    found = set()
    for package, names, module in _IMPORT.findall(_FOR_TYPE_CHECKERS.sub("", text)):
        found.add(package or module)
        found.update(f"{package}.{name}" for name in re.findall(r"\w+", names) if package)
    return found


@functools.cache
def cache_folder() -> CacheFolder:
    """Folder of the compiled kernels of exactly these sources, if there is a private place for one.

    Returns
    -------
    CacheFolder
    """
    return find_folder(source_hash())


class _Locator(caching._CacheLocator):  # type: ignore[misc]
    """Tells Numba's cache where its files are and which sources they were made from."""

    def __init__(self, py_func: Any, py_file: str) -> None:
        self._disambiguator = str(py_func.__code__.co_firstlineno)

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> "_Locator":
        return cls(py_func, py_file)

    def get_cache_path(self) -> str:
        return str(cache_folder().path)

    def get_source_stamp(self) -> str:
        return source_hash()

    def get_disambiguator(self) -> str:
        return self._disambiguator


class _Implementation(caching.CompileResultCacheImpl):  # type: ignore[misc]
    _locator_classes = (_Locator,)


def _versions() -> str:
    """What the folder of these sources was made by."""
    return f"spikesim {__version__}, Python {platform.python_version()}, numba {numba.__version__}"


class _Cache(caching.FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function, with files of our own; what cannot be read or written is compiled anew."""

    _impl_class = _Implementation

    def __init__(self, function: Any) -> None:
        super().__init__(function)
        self._cache_file = KernelFiles(Path(self.cache_path), self._impl.filename_base, source_hash())

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except _UNREADABLE:
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        with contextlib.suppress(OSError):  # a full disk costs the next start its time, not this run its result
            super().save_overload(sig, data)
            sign(Path(self.cache_path), _versions())


def kernel(function: Function) -> Function:
    """Compile a function of arrays and scalars: without the GIL, cached, in strict floating point.

    Kernels own no memory: it is their callers' for as long as they run. So Numba's reference counts, which it would
    change with an atomic instruction for every array of every tuple that is passed on, are left out, and with them
    what allocates: such a kernel does not compile. (Plain loops need the counts, for `flat`.) With NUMBA_DISABLE_JIT=1
    the function stays plain Python and gives the same bits.
    """
    compiled = numba.njit(nogil=True, error_model="numpy", _nrt=PLAIN_LOOPS)(function)
    if JIT and cache_folder().path is not None:
        compiled._cache = _Cache(compiled.py_func)
    return compiled  # type: ignore[no-any-return]


def inline_kernel(function: Function) -> Function:
    """Compile a small helper into each of its callers."""
    return numba.njit(nogil=True, error_model="numpy", _nrt=PLAIN_LOOPS, inline="always")(function)  # type: ignore[no-any-return]
