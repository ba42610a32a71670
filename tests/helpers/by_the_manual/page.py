"""The page that the model is written from."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

DOCS = Path(__file__).resolve().parents[3] / "docs"

Follower = TypeVar("Follower", bound=Callable[..., Any])


def follows(*passages: str) -> Callable[[Follower], Follower]:
    """Say which passages of docs/model.md a function or class follows, word by word; white space does not count."""

    def mark(follower: Follower) -> Follower:
        follower.follows = passages  # type: ignore[attr-defined]
        return follower

    return mark


LAYOUT = re.compile(r"^!\[.*\]\(.*\)$|^```(?:math)?$|\\(?:begin|end)\{aligned\}|&|\\\\(?=\s|$)", re.MULTILINE)
"""Pictures; of formulas fences, the environment, and marks that align lines or end them."""


def plain(text: str) -> str:
    """Text with single spaces for all white space, without pictures and without what lays formulas out."""
    return " ".join(LAYOUT.sub(" ", text).split())


def sections(name: str = "model.md") -> dict[str, str]:
    """The sections of a page by their headings, as plain text."""
    parts = re.split(r"^#+ (.+)$", (DOCS / name).read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {heading: plain(text) for heading, text in zip(parts[1::2], parts[2::2], strict=True)}


def followers(where: ModuleType | type) -> Iterator[tuple[str, ...]]:
    """The passages of each function and class of a module or a class, in its order."""
    name = where.__name__ if isinstance(where, ModuleType) else where.__module__
    for item in vars(where).values():
        item = item.fget if isinstance(item, property) else item
        if getattr(item, "__module__", None) == name:
            if found := getattr(item, "follows", ()):
                yield tuple(map(plain, found))
            if isinstance(item, type):
                yield from followers(item)


def passages(module: ModuleType) -> list[str]:
    """All passages that a module follows."""
    return [passage for found in followers(module) for passage in found]


def firsts(module: ModuleType) -> list[str]:
    """The passage that each function and class of a module follows first."""
    return [found[0] for found in followers(module)]
