"""One file over HTTP, resumable: what has arrived stays in a .part file, and the next try goes on from there."""

import http.client
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPResponse
from pathlib import Path
from typing import IO

from spikesim.errors import InputError

Progress = Callable[[str, int, int | None], None]
"""Called with the name of the file, the bytes that are there, and all its bytes if the server says how many."""

TIMEOUT = 30.0
"""Seconds without a byte after which a connection is given up."""
TRIES = 3
"""Connections that may be cut before an address is given up."""
_BLOCK = 1 << 16


class Unavailable(Exception):
    """An address did not give the file; the message says why."""


class CannotWrite(InputError):
    """A file cannot be written: a full disk, no permission, a folder that is a file."""


def download(url: str, part: Path, limit: int, progress: Progress) -> None:
    """Bring a file into `part`, going on after the bytes that it already has.

    Parameters
    ----------
    url : str
        http or https.
    part : Path
        Made if it is missing.
    limit : int
        Bytes that the file cannot exceed.
    progress : callable

    Raises
    ------
    Unavailable
        The server is not reached, refuses, or cuts every connection: what has arrived stays. Or it sends too much.
    CannotWrite
        `part` cannot be written.
    InputError
        `url` is of another kind.
    """
    try:
        scheme = urllib.parse.urlsplit(url).scheme
    except ValueError as error:
        raise InputError(f"address {url} is malformed ({error})") from None
    if scheme not in ("http", "https"):
        raise InputError(f"address {url} is neither http nor https")
    for attempt in range(1, TRIES + 1):
        try:
            return _connection(url, part, limit, progress)
        except _Cut as cut:
            if attempt == TRIES:
                raise Unavailable(f"{cut}, {TRIES} times") from None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Give the errors of the operations inside, all on this path, as `CannotWrite`."""
    try:
        yield
    except OSError as error:
        raise CannotWrite(
            f"cannot write {path}: {error.strerror}; make room or choose another data folder, then try again"
        ) from None


class _Cut(Exception):
    """A connection ended before its file did."""


def _connection(url: str, part: Path, limit: int, progress: Progress) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "spikesim", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if have and error.code == 416 and _total(error.headers.get("Content-Range")) == have:
                return  # all of it had arrived before
            if have and error.code == 416:
                with writing(part):
                    part.unlink()
                raise _Cut("the server has another file than the one that was begun") from None
        raise Unavailable(f"{error.code} {error.reason}") from None
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(_why(error)) from None
    with response:
        resumed = response.status == 206
        if resumed and not str(response.headers.get("Content-Range", "")).startswith(f"bytes {have}-"):
            raise Unavailable("the server sent another part of the file than the one asked for")
        if not resumed:
            have = 0
        length = re.fullmatch(r"\d{1,18}", response.headers.get("Content-Length", ""))
        total = have + int(length[0]) if length else None
        with writing(part):
            stream = open(part, "ab" if resumed else "wb")
        try:
            have = _receive(response, stream, part, have, total, limit, progress)
        finally:
            with writing(part):
                stream.close()
    if have > limit:
        # No later try can make it the right file.
        part.unlink()
        raise Unavailable(f"the server sends more than the {limit} bytes that the file can have")
    if total is not None and have < total:
        raise _Cut(f"the connection was cut after {have} of {total} bytes")


def _receive(
    response: HTTPResponse, stream: IO[bytes], part: Path, have: int, total: int | None, limit: int, progress: Progress
) -> int:
    """Append what the server sends, up to a block beyond the limit; the bytes that are there then."""
    name = part.name.removesuffix(".part")
    while have <= limit:
        progress(name, have, total)
        try:
            # What has arrived, not a full block: a connection that dies loses nothing that it brought.
            block = response.read1(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise _Cut(f"the connection was cut after {have} bytes ({_why(error)})") from None
        if not block:
            break
        with writing(part):
            stream.write(block)
        have += len(block)
    return have


def _total(content_range: str | None) -> int | None:
    match = re.fullmatch(r"bytes \*/(\d{1,18})", content_range or "")
    return int(match[1]) if match else None


def _why(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, TimeoutError):
        return f"no answer within {TIMEOUT:.0f} s"
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror
    return str(reason) or type(error).__name__
