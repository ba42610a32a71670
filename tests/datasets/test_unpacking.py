"""Unpacking: bounded, checked, and never a file outside."""

import gzip
import os
import tarfile

import pytest
from datasets_support import describe, link, tar_gz
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spikesim.datasets.catalogue.unpacking import ARCHIVE_SLACK, read_archive, read_file
from spikesim.errors import InputError

CONTENT = bytes(range(256)) * 8
FILE = describe("values.bin", CONTENT)
OTHER = describe("others.bin", CONTENT[::-1])


def write(folder, name, data):
    path = folder / name
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "packed"), [("values.bin", False), ("values.bin.gz", True), ("values.bin.gz.part", True)]
)
def test_good_file_is_read(tmp_path, name, packed):
    path = write(tmp_path, name, gzip.compress(CONTENT) if packed else CONTENT)
    assert read_file(path, FILE) == CONTENT


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("values.bin", CONTENT[:-1], "truncated, 2047 of 2048 bytes"),
        ("values.bin", CONTENT + b"x", "more than the 2048 bytes"),
        ("values.bin", CONTENT[::-1], "not the published"),
        ("values.bin", b"", "truncated"),
        ("values.bin.gz", CONTENT, "not a gzip file"),
        ("values.bin.gz", b"", "truncated"),
        ("values.bin.gz", gzip.compress(CONTENT, mtime=0)[:-4], "truncated"),
        ("values.bin.gz", gzip.compress(CONTENT, mtime=0)[:-8] + bytes(8), "damaged"),
        ("values.bin.gz", gzip.compress(CONTENT, mtime=0)[:20] + bytes(100), "damaged"),
    ],
)
def test_bad_file_is_refused_in_one_line(tmp_path, name, data, message):
    path = write(tmp_path, name, data)
    with pytest.raises(InputError, match=message) as error:
        read_file(path, FILE)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_file(tmp_path / "values.bin", FILE)


def test_gzip_bomb_is_not_unpacked(tmp_path, monkeypatch):
    path = write(tmp_path, "values.bin.gz", gzip.compress(bytes(50_000_000)))
    given_out = []
    plain_read = gzip.GzipFile.read

    def counting(self, size=-1):
        data = plain_read(self, size)
        given_out.append(len(data))
        return data

    monkeypatch.setattr(gzip.GzipFile, "read", counting)
    with pytest.raises(InputError, match="more than"):
        read_file(path, FILE)
    assert sum(given_out) == FILE.size + 1


def test_archive_bomb_is_not_unpacked(tmp_path):
    path = write(tmp_path, "set.tar.gz", tar_gz({"big": bytes(ARCHIVE_SLACK + 10_000), "values.bin": CONTENT}))
    with pytest.raises(InputError, match="unpacks to more than"):
        list(read_archive(path, [FILE]))


def test_archive_gives_its_files_whatever_their_folder(tmp_path):
    members = {"a/others.bin": CONTENT[::-1], "readme": b"hello", "/etc/b/../values.bin": CONTENT}
    path = write(tmp_path, "set.tar.gz", tar_gz(members))
    assert dict(read_archive(path, [FILE, OTHER])) == {FILE: CONTENT, OTHER: CONTENT[::-1]}


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a": b"b"}, "lacks values.bin"),
        ({"values.bin": link("values.bin", "/etc/passwd")}, "lacks values.bin"),
        ({"values.bin": CONTENT[:-1]}, "2047 bytes; the published one has 2048"),
        ({"values.bin": CONTENT[::-1]}, "not the published"),
    ],
)
def test_bad_archive_is_refused(tmp_path, members, message):
    path = write(tmp_path, "set.tar.gz", tar_gz(members))
    with pytest.raises(InputError, match=message) as error:
        list(read_archive(path, [FILE]))
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "data",
    [b"", b"not gzip", gzip.compress(b"no tar"), tar_gz({"values.bin": CONTENT})[:60]],
    ids=["empty", "not gzip", "no tar", "cut short"],  # not the bytes, in which there is the time
)
def test_what_is_no_archive_is_refused(tmp_path, data):
    path = write(tmp_path, "set.tar.gz", data)
    with pytest.raises(InputError, match=r"set\.tar\.gz"):
        list(read_archive(path, [FILE]))


MEMBERS = {"values.bin": CONTENT, "../outside.bin": b"x", "deep/others.bin": CONTENT[::-1], "l": link("l", "..")}
PLAIN_TAR = gzip.decompress(tar_gz(MEMBERS))
headers = st.integers(0, len(PLAIN_TAR) // 512 - 1).flatmap(lambda block: st.integers(block * 512, block * 512 + 511))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(headers, st.integers(0, 255)), max_size=6),
    kinds=st.lists(st.tuples(st.integers(0, 6), st.sampled_from(b"012345678xgLKSX")), max_size=2),
    end=st.integers(0, len(PLAIN_TAR)),
    fix_sums=st.booleans(),
)
def test_damaged_archives_give_checked_files_or_an_input_error(tmp_path, monkeypatch, changes, kinds, end, fix_sums):
    tar = bytearray(PLAIN_TAR)
    for position, value in changes:
        tar[position] = value
    for block, kind in kinds:
        tar[block * 512 + 156] = kind
    if fix_sums:
        # With the right sum, tarfile believes a damaged header and goes further.
        for block in range(0, len(tar) - 511, 512):
            if tar[block + 257 : block + 262] == b"ustar":
                total = sum(tar[block : block + 148]) + 8 * 32 + sum(tar[block + 156 : block + 512])
                tar[block + 148 : block + 156] = f"{total:06o}\0 ".encode()
    inside = tmp_path / "inside"
    inside.mkdir(exist_ok=True)
    path = write(inside, "set.tar.gz", gzip.compress(bytes(tar[: end or len(tar)]), compresslevel=1))
    monkeypatch.chdir(inside)
    try:
        for file, data in read_archive(path, [FILE, OTHER]):
            assert describe(file.name, data) == file
    except InputError as error:
        assert "\n" not in str(error)
    assert os.listdir(inside) == ["set.tar.gz"]
    assert os.listdir(tmp_path) == ["inside"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=1500))
def test_archives_of_anything_give_an_input_error(tmp_path, data):
    for content in (data, gzip.compress(data, compresslevel=1)):
        path = write(tmp_path, "set.tar.gz", content)
        with pytest.raises(InputError):
            list(read_archive(path, [FILE]))


def test_sparse_member_of_the_right_size_is_checked(tmp_path):
    info = tarfile.TarInfo("values.bin")
    info.type = tarfile.GNUTYPE_SPARSE
    info.size = FILE.size
    path = write(tmp_path, "set.tar.gz", tar_gz({"values.bin": info}))
    with pytest.raises(InputError):
        list(read_archive(path, [FILE]))
