"""Fetching from a server on this machine: what it gives, what it refuses, and what is left on the disk."""

import errno
import fcntl
import gzip
import os
import threading

import pytest
from datasets_support import install, link, serve, tar_gz, tiny_cifar, tiny_idx
from disk import assert_on_disk_first, record_order

from spikesim.datasets import check, load
from spikesim.datasets.fetching import download
from spikesim.datasets.fetching.fetch import fetch
from spikesim.errors import InputError

TINY = tiny_idx()
COLOUR = tiny_cifar()
IMAGES = "train-images-idx3-ubyte"
ARCHIVE = "tiny-colour.tar.gz"


@pytest.fixture(autouse=True)
def _tiny_sets(monkeypatch):
    install(monkeypatch, TINY, COLOUR)
    # No proxy stands between the tests and their server.
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def contents(folder):
    """Every file below a folder, by its path in it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def dead_url():
    """An address where nobody answers."""
    with serve({}) as server:
        url = server.url
    return url


def test_idx_set_is_fetched_packed(tmp_path):
    with serve(TINY.published()) as server:
        folder = fetch("tiny", tmp_path / "new" / "data", base_urls=[server.url])
    assert folder == tmp_path / "new" / "data" / "tiny"
    assert set(contents(folder)) == set(TINY.published())
    assert load("tiny", tmp_path / "new" / "data").source == str(folder)


def test_archive_is_fetched_and_unpacked(tmp_path):
    with serve(COLOUR.published()) as server:
        folder = fetch("tinycolour", tmp_path, base_urls=[server.url.rstrip("/")])
    assert contents(tmp_path) == {f"tiny-colour/{name}": data for name, data in COLOUR.content.items()}
    assert check("tinycolour", tmp_path) == str(folder)


@pytest.mark.parametrize("form", ["fetched", "flat", "archive"])
def test_good_copy_is_not_fetched_again(tmp_path, form):
    if form == "fetched":
        TINY.write(tmp_path / "tiny" / "raw", packed=True)
        name, expected = "tiny", tmp_path / "tiny" / "raw"
    elif form == "flat":
        TINY.write(tmp_path)
        name, expected = "tiny", tmp_path
    else:
        (tmp_path / ARCHIVE).write_bytes(COLOUR.published()[ARCHIVE])
        name, expected = "tinycolour", tmp_path
    before = contents(tmp_path)
    assert fetch(name, tmp_path, base_urls=[]) == expected
    assert contents(tmp_path) == before


def test_only_what_is_missing_or_wrong_is_fetched_and_nothing_is_lost(tmp_path):
    folder = TINY.write(tmp_path / "tiny")
    (folder / "t10k-labels-idx1-ubyte").unlink()
    (folder / IMAGES).write_bytes(b"mine")
    (folder / f"{IMAGES}.wrong").write_bytes(b"older")
    kept = folder / "train-labels-idx1-ubyte"
    inode = kept.stat().st_ino
    with serve(TINY.published()) as server:
        fetch("tiny", tmp_path, base_urls=[server.url])
    assert sorted(path for path, _ in server.requests) == ["/t10k-labels-idx1-ubyte.gz", f"/{IMAGES}.gz"]
    assert (folder / f"{IMAGES}.wrong").read_bytes() == b"older"
    assert (folder / f"{IMAGES}.wrong-2").read_bytes() == b"mine"
    assert kept.stat().st_ino == inode
    check("tiny", tmp_path)


def test_wrong_plain_file_does_not_hide_a_good_packed_one(tmp_path):
    folder = TINY.write(tmp_path / "tiny", packed=True)
    (folder / IMAGES).write_bytes(b"wrong")
    with pytest.raises(InputError, match="truncated"):
        check("tiny", tmp_path)
    fetch("tiny", tmp_path, base_urls=[])
    check("tiny", tmp_path)


def test_wrong_member_is_replaced_and_good_ones_are_kept(tmp_path):
    folder = COLOUR.write(tmp_path / "tiny-colour")
    (folder / "part_2.bin").write_bytes(b"mine")
    inode = (folder / "part_1.bin").stat().st_ino
    with serve(COLOUR.published()) as server:
        fetch("tinycolour", tmp_path, base_urls=[server.url])
    assert (folder / "part_1.bin").stat().st_ino == inode
    assert (folder / "part_2.bin.wrong").read_bytes() == b"mine"
    assert set(contents(folder)) == {*COLOUR.content, "part_2.bin.wrong"}
    check("tinycolour", tmp_path)


@pytest.mark.parametrize("ranges", [True, False])
def test_cut_connections_are_resumed(tmp_path, ranges):
    with serve(COLOUR.published()) as server:
        server.ranges = ranges
        server.cuts = [1000, 0]
        fetch("tinycolour", tmp_path, base_urls=[server.url])
    assert server.requests == [(f"/{ARCHIVE}", None), (f"/{ARCHIVE}", "bytes=1000-")] + (
        [(f"/{ARCHIVE}", "bytes=1000-")] if ranges else [(f"/{ARCHIVE}", None)]
    )
    check("tinycolour", tmp_path)


def test_what_arrived_is_kept_for_the_next_try(tmp_path):
    whole = COLOUR.published()[ARCHIVE]
    part = tmp_path / "tiny-colour" / f"{ARCHIVE}.part"
    with serve(COLOUR.published()) as server:
        server.cuts = [500, 100, 50]
        with pytest.raises(InputError, match="cut after 650 of") as error:
            fetch("tinycolour", tmp_path, base_urls=[server.url])
        assert "run the command again" in str(error.value)
        assert part.read_bytes() == whole[:650]
        fetch("tinycolour", tmp_path, base_urls=[server.url])
    assert server.requests[-1] == (f"/{ARCHIVE}", "bytes=650-")
    assert not part.exists()
    check("tinycolour", tmp_path)


def test_interrupt_keeps_what_arrived(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_BLOCK", 256)

    def interrupt(name, done, total):
        if done >= 512:
            raise KeyboardInterrupt

    with serve(COLOUR.published()) as server:
        with pytest.raises(KeyboardInterrupt):
            fetch("tinycolour", tmp_path, base_urls=[server.url], progress=interrupt)
        part = tmp_path / "tiny-colour" / f"{ARCHIVE}.part"
        arrived = part.read_bytes()
        assert len(arrived) >= 512
        assert arrived == COLOUR.published()[ARCHIVE][: len(arrived)]
        fetch("tinycolour", tmp_path, base_urls=[server.url])
    assert server.requests[-1][1] == f"bytes={len(arrived)}-"


def test_whole_part_file_is_not_sent_again(tmp_path):
    (tmp_path / "tiny-colour").mkdir()
    (tmp_path / "tiny-colour" / f"{ARCHIVE}.part").write_bytes(COLOUR.published()[ARCHIVE])
    received = []
    with serve(COLOUR.published()) as server:
        fetch("tinycolour", tmp_path, base_urls=[server.url], progress=lambda *seen: received.append(seen))
    assert received == []
    check("tinycolour", tmp_path)


@pytest.mark.parametrize("stale", [b"x" * 100, b"x" * 1_000_000])
def test_part_of_another_file_is_begun_again(tmp_path, stale):
    (tmp_path / "tiny-colour").mkdir()
    (tmp_path / "tiny-colour" / f"{ARCHIVE}.part").write_bytes(stale)
    with serve(COLOUR.published()) as server:
        fetch("tinycolour", tmp_path, base_urls=[server.url])
    check("tinycolour", tmp_path)


def test_next_mirror_is_tried(tmp_path, dead_url):
    wrong = {name: gzip.compress(b"another file") for name in TINY.published()}
    with serve(wrong) as liar, serve({}) as empty, serve(TINY.published()) as good:
        fetch("tiny", tmp_path, base_urls=[dead_url, empty.url, liar.url, good.url])
    assert len(good.requests) == 4
    assert set(contents(tmp_path / "tiny")) == set(TINY.published())


def test_wrong_content_gets_no_name(tmp_path):
    changed = dict(TINY.published())
    changed[f"{IMAGES}.gz"] = gzip.compress(TINY.content[IMAGES][:-1] + b"?")
    with serve(changed) as server, pytest.raises(InputError, match=f"{IMAGES}.*: not the published"):
        fetch("tiny", tmp_path, base_urls=[server.url])
    assert contents(tmp_path) == {}


def test_flood_is_stopped(tmp_path):
    with serve({f"{IMAGES}.gz": bytes(10_000_000)}) as server, pytest.raises(InputError, match="sends more than"):
        fetch("tiny", tmp_path, base_urls=[server.url])
    assert contents(tmp_path) == {}


def test_members_of_an_archive_stay_in_the_folder(tmp_path):
    root = tmp_path / "data"
    hostile = {
        "../../outside": b"x",
        str(tmp_path / "absolute"): b"x",
        "../exam.bin": COLOUR.content["exam.bin"],
        "door": link("door", str(tmp_path)),
        "door/part_1.bin": COLOUR.content["part_1.bin"],
        "/part_2.bin": COLOUR.content["part_2.bin"],
    }
    with serve({ARCHIVE: tar_gz(hostile)}) as server:
        fetch("tinycolour", root, base_urls=[server.url])
    assert contents(tmp_path) == {f"data/tiny-colour/{name}": data for name, data in COLOUR.content.items()}


def test_link_in_the_place_of_a_file_is_not_followed(tmp_path):
    members = {name: link(name, "/etc/passwd") for name in COLOUR.content}
    with serve({ARCHIVE: tar_gz(members)}) as server, pytest.raises(InputError, match=r"lacks part_1\.bin"):
        fetch("tinycolour", tmp_path, base_urls=[server.url])
    assert os.listdir(tmp_path / "tiny-colour") == []


def test_failures_of_the_network_are_named(tmp_path, dead_url):
    with serve({}) as server, pytest.raises(InputError) as error:
        fetch("tiny", tmp_path, base_urls=[server.url, dead_url])
    message = str(error.value)
    assert f"{server.url}{IMAGES}.gz: 404" in message
    assert f"{dead_url}{IMAGES}.gz: Connection refused" in message
    assert str(tmp_path / "tiny") in message
    assert "\n" not in message


def test_silent_server_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", 0.1)
    monkeypatch.setattr(download, "TRIES", 1)
    with serve(COLOUR.published()) as server:
        server.stall = threading.Event()
        server.cuts = [100]
        with pytest.raises(InputError, match="no answer within"):
            fetch("tinycolour", tmp_path, base_urls=[server.url])
    assert (tmp_path / "tiny-colour" / f"{ARCHIVE}.part").stat().st_size == 100


def test_full_disk_is_named(tmp_path):
    (tmp_path / "tiny-colour").mkdir()
    (tmp_path / "tiny-colour" / f"{ARCHIVE}.part").symlink_to("/dev/full")
    with serve(COLOUR.published()) as server, pytest.raises(InputError, match=r"No space left on device; make room"):
        fetch("tinycolour", tmp_path, base_urls=[server.url])


def test_disk_that_fills_while_unpacking_keeps_the_download(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, serve(COLOUR.published()) as server:
        patch.setattr(os, "fsync", full)
        with pytest.raises(InputError, match="No space left on device"):
            fetch("tinycolour", tmp_path, base_urls=[server.url])
    assert contents(tmp_path) == {f"tiny-colour/{ARCHIVE}.part": COLOUR.published()[ARCHIVE]}
    with serve(COLOUR.published()) as server:
        fetch("tinycolour", tmp_path, base_urls=[server.url])
    check("tinycolour", tmp_path)


@pytest.mark.parametrize(("tiny", "name"), [(TINY, f"tiny/{IMAGES}.gz"), (COLOUR, "tiny-colour/part_1.bin")])
def test_what_is_fetched_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch, tiny, name):
    order = record_order(monkeypatch)
    with serve(tiny.published()) as server:
        fetch("tiny" if tiny is TINY else "tinycolour", tmp_path, base_urls=[server.url])
    assert_on_disk_first(order, tmp_path / name)


def test_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"cannot write .*Not a directory"):
        fetch("tiny", tmp_path / "file", base_urls=[])
    assert contents(tmp_path) == {"file": b"mine"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_read_only_folder_is_named(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match=r"cannot write .*Permission denied"):
        fetch("tiny", tmp_path, base_urls=[])


def test_two_fetches_at_once_are_refused(tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another fetch is writing"):
            fetch("tiny", tmp_path, base_urls=[])
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("url", ["file:///etc/", "ftp://127.0.0.1/", "/etc", "http://[::1/", "http://", "http://a:b/"])
def test_addresses_that_are_not_http_are_refused(tmp_path, url):
    with pytest.raises(InputError, match=r"neither http nor https|malformed|no host given|nonnumeric port"):
        fetch("tiny", tmp_path, base_urls=[url])


def test_embedded_and_unknown_sets_are_not_fetched(tmp_path):
    with pytest.raises(InputError, match="nothing to fetch"):
        fetch("fashion-mnist-mini", tmp_path)
    with pytest.raises(InputError, match="unknown data set"):
        fetch("nist", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_the_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_BLOCK", 256)
    seen = []
    with serve(COLOUR.published()) as server:
        server.cuts = [700]
        fetch("tinycolour", tmp_path, base_urls=[server.url], progress=lambda *call: seen.append(call))
    size = len(COLOUR.published()[ARCHIVE])
    counts = [done for _, done, _ in seen]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (0, size)
    assert {(name, total) for name, _, total in seen} == {(ARCHIVE, size)}
