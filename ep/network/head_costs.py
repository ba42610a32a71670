"""The cost of a head for its logits, and the error that it sends."""

from spikesim.jit.compilation import kernel
from spikesim.numerics.portable_math import softmax


@kernel
def head_errors(heads, head, logits, label, soft_targets, errors, guess):
    """-dC/do of a head, for its logits, into `errors`; returns its cost for the label alone, whatever the teacher.

    soft_targets: softmax(t / tau), float64 (classes,), or empty: then C has no such part. guess: room, (classes,).
    """
    if heads.table[head].squared:
        total = 0.0
        for j in range(logits.shape[0]):
            errors[j] = (1.0 if j == label else 0.0) - logits[j]
            total += errors[j] * errors[j]
        return 0.5 * total
    log_sum = softmax(logits, guess)
    hard, soft = heads.hard[head], heads.soft[head]
    for j in range(logits.shape[0]):
        errors[j] = hard * ((1.0 if j == label else 0.0) - guess[j])
    if soft > 0.0 and len(soft_targets) > 0:
        for j in range(logits.shape[0]):
            guess[j] = logits[j] / heads.temperature
        softmax(guess, guess)
        for j in range(logits.shape[0]):
            errors[j] += soft * (soft_targets[j] - guess[j])
    return log_sum - logits[label]
