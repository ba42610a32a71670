"""Texts as a network takes them: a vocabulary of the training part, and the numbers of the tokens."""

from dataclasses import replace

from spikesim.datasets import Dataset, TextSet, Vocabulary
from spikesim.datasets.samples.token_set import TokenSet
from spikesim.ep.config.parsing import Config
from spikesim.errors import InputError

__all__ = ["encoded"]


def encoded(config: Config, dataset: Dataset, vocabulary: Vocabulary | None = None) -> Dataset:
    """A data set of texts as tokens; others as they are.

    Parameters
    ----------
    config : Config
        `data.min_count`, `data.vocabulary_size` and `data.longest`.
    dataset : Dataset
        With the training samples that remain when those for validation are held out.
    vocabulary : Vocabulary, optional
        That of a run; by default that of the training texts up to `data.limit`.

    Raises
    ------
    InputError
        No token occurs often enough.
    """
    train, test, data = dataset.train, dataset.test, config.data
    if not isinstance(train, TextSet) or not isinstance(test, TextSet):
        return dataset
    if vocabulary is None:
        size = data.vocabulary_size
        vocabulary = Vocabulary.build(train.texts[: data.limit], min_count=data.min_count, size=size)
    longest = min(dataset.shape[1], data.longest or dataset.shape[1])
    if longest < 1:
        raise InputError(f"the texts of {dataset.name} have no tokens; give texts with words")
    own, other = (TokenSet.encode(part, vocabulary, longest) for part in (train, test))
    return replace(dataset, train=own, test=other, vocabulary=vocabulary)
