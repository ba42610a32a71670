"""Tiny data sets in the published formats, and a server for them, for the tests of spikesim.datasets."""

import gzip
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest

from spikesim.datasets import Augmentation
from spikesim.datasets.catalogue import registry
from spikesim.datasets.catalogue.registry import Entry, File


@dataclass(frozen=True)
class Tiny:
    """A made-up data set: its registry entry and its unpacked files."""

    entry: Entry
    content: dict[str, bytes]

    def write(self, folder: Path, packed: bool = False) -> Path:
        """Put all files into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self.content.items():
            (folder / (f"{name}.gz" if packed else name)).write_bytes(gzip.compress(data, mtime=0) if packed else data)
        return folder

    def published(self) -> dict[str, bytes]:
        """What a server has, by file name."""
        if self.entry.archive is None:
            return {f"{name}.gz": gzip.compress(data, mtime=0) for name, data in self.content.items()}
        folder = "some-folder/"
        members: dict[str, bytes] = {f"{folder}readme.html": b"<html>", f"{folder}batches.meta.txt": b"names"}
        members |= {folder + name: data for name, data in self.content.items()}
        return {self.entry.archive: tar_gz(members)}


def make_idx(array: np.ndarray) -> bytes:
    """An IDX file of unsigned bytes."""
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


def tar_gz(members: Mapping[str, bytes | tarfile.TarInfo]) -> bytes:
    """A .tar.gz of files, or of members made by hand, under the given names."""
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", mtime=0) as stream,  # the same bytes in each second
        tarfile.open(fileobj=stream, mode="w") as archive,
    ):
        for name, member in members.items():
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(name)
                info.size = len(member)
                archive.addfile(info, io.BytesIO(member))
    return packed.getvalue()


def link(name: str, target: str) -> tarfile.TarInfo:
    """A symbolic link in an archive."""
    info = tarfile.TarInfo(name)
    info.type = tarfile.SYMTYPE
    info.linkname = target
    return info


def describe(name: str, data: bytes) -> File:
    """The registry's line of a file."""
    return File(name, len(data), hashlib.sha256(data).hexdigest())


def tiny_idx(seed: int = 0, name: str = "tiny") -> Tiny:
    """60 + 20 grey images of 6x5 pixels in IDX files, three classes."""
    rng = np.random.default_rng(seed)
    content = {}
    for part, count in (("train", 60), ("t10k", 20)):
        content[f"{part}-images-idx3-ubyte"] = make_idx(rng.integers(0, 256, (count, 6, 5)))
        content[f"{part}-labels-idx1-ubyte"] = make_idx((np.arange(count) + seed) % 3)
    files = [describe(name, data) for name, data in content.items()]
    entry = Entry(
        name=name,
        form="idx",
        train=(files[0], files[1]),
        test=(files[2], files[3]),
        n_train=60,
        n_test=20,
        shape=(6, 5, 1),
        class_names=("a", "b", "c"),
        mean=(0.5,),
        std=(0.3,),
        augmentation=Augmentation(crop=1, flip=False),
        folders=(name, f"{name}/raw"),
        mirrors=("http://127.0.0.1:9/",),
    )
    return Tiny(entry, content)


def tiny_cifar() -> Tiny:
    """2 x 30 + 20 colour images of 4x4 pixels in CIFAR files with two labels an image, five classes."""
    rng = np.random.default_rng(1)
    content = {}
    for name, count in (("part_1.bin", 30), ("part_2.bin", 30), ("exam.bin", 20)):
        records = rng.integers(0, 256, (count, 2 + 48), dtype=np.uint8)
        records[:, :2] = rng.integers(0, 5, (count, 2))
        content[name] = records.tobytes()
    files = [describe(name, data) for name, data in content.items()]
    entry = Entry(
        name="tinycolour",
        form="cifar",
        train=(files[0], files[1]),
        test=(files[2],),
        n_train=60,
        n_test=20,
        shape=(4, 4, 3),
        class_names=tuple("abcde"),
        mean=(0.5, 0.5, 0.5),
        std=(0.3, 0.3, 0.3),
        augmentation=Augmentation(crop=1, flip=True),
        label_bytes=2,
        folders=("tiny-colour", "tiny-colour-bin"),
        archive="tiny-colour.tar.gz",
        mirrors=("http://127.0.0.1:9/",),
    )
    return Tiny(entry, content)


def install(monkeypatch: pytest.MonkeyPatch, *sets: Tiny) -> None:
    """Make the program know tiny sets for the time of a test, and forget the user's data folder."""
    monkeypatch.delenv("SPIKESIM_DATA", raising=False)
    known = {entry.name: entry for entry in registry.entries()} | {tiny.entry.name: tiny.entry for tiny in sets}
    monkeypatch.setattr(registry, "_ENTRIES", MappingProxyType(known))


@dataclass
class Server:
    """A server's files, its faults, and the (path, Range) of every request that it got."""

    url: str
    files: dict[str, bytes]
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    stall: threading.Event | None = None
    requests: list[tuple[str, str | None]] = field(default_factory=list)


@contextmanager
def serve(files: Mapping[str, bytes]) -> Iterator[Server]:
    """A server on the loopback interface. Each number in `cuts` ends one answer after that many bytes."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.requests.append((self.path, wanted))
            data = state.files.get(self.path.lstrip("/"))
            if data is None:
                self.send_error(404)
                return
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and state.ranges else 0
            if start >= len(data) > 0:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.end_headers()
                return
            self.send_response(206 if wanted and state.ranges else 200)
            if wanted and state.ranges:
                self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            body = data[start:]
            if state.cuts:
                body = body[: state.cuts.pop(0)]
            self.wfile.write(body)
            self.wfile.flush()
            if state.stall is not None:
                state.stall.wait(10)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state = Server(f"http://127.0.0.1:{server.server_address[1]}/", dict(files))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        if state.stall is not None:
            state.stall.set()
        server.shutdown()
        thread.join()
        server.server_close()
