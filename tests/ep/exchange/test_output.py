"""Files for others: whole or not at all, and nothing lost."""

import errno

import pytest
from runs import write_run

from spikesim.ep.exchange.output import check_output, write_output
from spikesim.errors import InputError


def text(content):
    return lambda path: path.write_text(content)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file(tmp_path):
    write_output(tmp_path / "x", text("new"), overwrite=False)
    assert (tmp_path / "x").read_text() == "new" and names(tmp_path) == ["x"]


def test_a_file_that_exists(tmp_path):
    (tmp_path / "x").write_text("old")
    with pytest.raises(InputError, match="--overwrite replaces it"):
        write_output(tmp_path / "x", text("new"), overwrite=False)
    assert (tmp_path / "x").read_text() == "old"
    write_output(tmp_path / "x", text("new"), overwrite=True)
    assert (tmp_path / "x").read_text() == "new" and names(tmp_path) == ["x"]


@pytest.mark.parametrize("fault", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("No space left")])
def test_a_disk_that_is_full(tmp_path, fault):
    (tmp_path / "x").write_text("old")

    def fill(path):
        path.write_text("half")
        raise fault

    with pytest.raises(InputError, match=r"cannot write .*: No space left.*; choose another --out"):
        write_output(tmp_path / "x", fill, overwrite=True)
    assert (tmp_path / "x").read_text() == "old" and names(tmp_path) == ["x"]


def test_what_is_refused_passes_and_leaves_nothing(tmp_path):
    def refuse(path):
        path.write_text("half")
        raise InputError("reason")

    with pytest.raises(InputError, match=r"^reason$"):
        write_output(tmp_path / "x", refuse, overwrite=False)
    assert names(tmp_path) == []


def test_a_run_file_is_never_replaced(tmp_path):
    run = write_run(tmp_path / "run.h5", 1)
    (tmp_path / "link").symlink_to(run)
    before = run.read_bytes()
    for path in (run, tmp_path / "link"):
        with pytest.raises(InputError, match="which an export never replaces"):
            write_output(path, text("new"), overwrite=True)
    assert run.read_bytes() == before


def test_what_is_no_place_for_a_file(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        check_output(tmp_path / "no" / "x", overwrite=False)
    with pytest.raises(InputError, match="not a regular file"):
        check_output(tmp_path, overwrite=True)


def test_a_link_keeps_its_place(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_output(tmp_path / "link", text("new"), overwrite=True)
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_text() == "new"
