"""What it takes to read texts: a folder of the form of IMDB's archive, of made-up reviews.

    python benchmarks/scaling/reading.py
    python benchmarks/scaling/reading.py --texts 5000 --keep FOLDER

The words of a review follow Zipf's law over a vocabulary of 100,000, so that most of them are rare as in a language.
The folder is made in a temporary place and removed, unless it is kept.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from spikesim.datasets import TextSet, Vocabulary, load
from spikesim.datasets.inspection.summary import facts, summarise

WORDS = 100_000
_T = TypeVar("_T")


def make(folder: Path, texts: int, tokens: int) -> None:
    """Write so many reviews, a quarter into each of aclImdb/train|test/neg|pos."""
    rng = np.random.default_rng(0)
    chances = 1 / np.arange(1, WORDS + 1)
    cumulative = np.cumsum(chances / chances.sum())
    words = np.array([f"w{number}" for number in range(WORDS)], object)
    places = [(part, label) for part in ("train", "test") for label in ("neg", "pos")]
    for part, label in places:
        (folder / "aclImdb" / part / label).mkdir(parents=True, exist_ok=True)
    for number in range(texts):
        part, label = places[number % len(places)]
        chosen = words[np.searchsorted(cumulative, rng.random(tokens))]
        path = folder / "aclImdb" / part / label / f"{number // len(places)}_{2 if label == 'neg' else 9}.txt"
        path.write_text(" ".join(chosen), encoding="utf-8")


def timed(what: str, work: Callable[[], _T]) -> _T:
    """Do it, and print how long it took and the memory that the process has needed so far."""
    began, spent = time.perf_counter(), time.process_time()
    found = work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds, processor = time.perf_counter() - began, time.process_time() - spent
    print(f"{what:<44} {seconds:6.1f} s, {processor:5.1f} s of a core, {peak:6.0f} MiB at most", flush=True)
    return found


def main() -> None:
    """Print times and memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--texts", type=int, default=50_000, help="how many (default: %(default)s)")
    parser.add_argument("--tokens", type=int, default=250, help="of each (default: %(default)s)")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="make them here, and leave them there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        timed(f"{options.texts} files of {options.tokens} tokens written", lambda: make(folder, *sizes(options)))
        dataset = timed("read, with the hash of the content", lambda: load("imdb", folder))
        train, test = dataset.train, dataset.test
        assert isinstance(train, TextSet) and isinstance(test, TextSet)
        found = timed("vocabulary of the training part, 20,000 words", lambda: build(train))
        tokens, _ = timed("both parts as numbers", lambda: found.encode([*train.texts, *test.texts]))
        timed("what a data check says", lambda: facts(summarise(dataset)))
        print(f"{len(train)} and {len(test)} texts, {len(tokens)} tokens, {tokens.nbytes / 2**20:.0f} MiB as numbers")


def sizes(options: argparse.Namespace) -> tuple[int, int]:
    """How many texts, of how many tokens."""
    return options.texts, options.tokens


def build(train: TextSet) -> Vocabulary:
    """The vocabulary of usual experiments."""
    return Vocabulary.build(train.texts, min_count=1, size=20_000)


if __name__ == "__main__":
    main()
