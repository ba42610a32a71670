"""Pictures as samples: files that a camera or a browser writes."""

import builtins
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import expect_fault

from spikesim.datasets.formats.pictures import read_pictures
from spikesim.datasets.formats.unlabelled import read_images

GREY, COLOUR = (5, 4, 1), (5, 4, 3)
PIXELS = np.random.default_rng(0).integers(0, 256, COLOUR, dtype=np.uint8)


def test_pictures_are_what_was_drawn(tmp_path: Path) -> None:
    picture = Image.fromarray(PIXELS)
    for name in ("a.png", "a.BMP", "c.png"):
        picture.save(tmp_path / name)
    picture.convert("RGBA").save(tmp_path / "d.png")
    picture.save(tmp_path / "e.webp", lossless=True)
    (tmp_path / ".hidden").write_text("passed over")
    found, names = read_images(tmp_path, COLOUR)
    assert names == ["a.BMP", "a.png", "c.png", "d.png", "e.webp"]
    assert (found.images == PIXELS).all() and len(found) == 5
    one, name = read_images(tmp_path / "a.png", COLOUR)
    assert (one.images == PIXELS).all() and len(one) == 1 and name == ["a.png"]


def test_grey_pictures_may_be_stored_in_colour(tmp_path: Path) -> None:
    grey = Image.fromarray(PIXELS[..., 0])
    for mode in ("L", "RGB", "RGBA", "LA"):
        grey.convert(mode).save(tmp_path / f"{mode}.png")
    grey.convert("RGB").quantize(256).save(tmp_path / "palette.png")
    grey.save(tmp_path / "lossy.jpg")
    pixels = read_pictures(tmp_path, GREY).pixels[..., 0]
    assert (pixels[:4] == PIXELS[..., 0]).all()
    assert np.abs(pixels.astype(int) - PIXELS[..., 0]).mean() < 12  # JPEG, and a palette
    (tmp_path / "lossy.jpg").unlink()
    assert (read_pictures(tmp_path, COLOUR).pixels[:4] == PIXELS[..., :1]).all()


def test_what_is_no_such_picture_is_named(tmp_path: Path) -> None:
    def saved(name: str, image: Image.Image) -> Path:
        image.save(tmp_path / name)
        return tmp_path / name

    clear = np.concatenate([PIXELS, np.full((5, 4, 1), 9, np.uint8)], axis=2)
    for told, path, shape in (
        ("4x5 pixels; the network takes 5x5", saved("small.png", Image.fromarray(PIXELS)), (5, 5, 3)),
        ("is in colour; the network takes grey", tmp_path / "small.png", GREY),
        ("takes 2 channels", tmp_path / "small.png", (5, 4, 2)),
        ("transparent", saved("clear.png", Image.fromarray(clear)), COLOUR),
        ("mode I;16", saved("deep.png", Image.fromarray(PIXELS[..., 0].astype(np.uint16))), GREY),
        (
            "not a picture of the format",
            saved("really.bmp", Image.fromarray(PIXELS)).rename(tmp_path / "b.png"),
            COLOUR,
        ),
        ("does not exist", tmp_path / "none.png", GREY),
    ):
        expect_fault(f"{re.escape(path.name)}.*{told}", read_images, path, shape)
    (tmp_path / "torn.png").write_bytes((tmp_path / "small.png").read_bytes()[:60])
    expect_fault("torn.png: not a picture.*damaged", read_images, tmp_path / "torn.png", COLOUR)
    empty, mixed = tmp_path / "empty", tmp_path / "mixed"
    empty.mkdir()
    expect_fault("empty is empty; a folder of samples", read_images, empty, GREY)
    mixed.mkdir()
    (mixed / "notes.txt").write_text("x")
    expect_fault("mixed has notes.txt; a folder of samples", read_images, mixed, GREY)


def test_a_picture_larger_than_memory_is_not_decoded(tmp_path: Path) -> None:
    """A few kilobytes can say that they are gigabytes of pixels."""
    Image.new("1", (30_000, 30_000)).save(tmp_path / "bomb.png")
    expect_fault("30000x30000 pixels|not a picture", read_images, tmp_path / "bomb.png", GREY)


def test_without_pillow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name == "PIL":
            raise ImportError(name)
        return ours(name, *rest)  # type: ignore[arg-type]

    Image.fromarray(PIXELS).save(tmp_path / "a.png")
    monkeypatch.setattr(builtins, "__import__", without)
    expect_fault(r"pip install 'spikesim\[pictures\]'", read_images, tmp_path / "a.png", COLOUR)
