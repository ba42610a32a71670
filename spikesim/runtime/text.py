"""Numbers as people read them. `page.js` has `si` once more, for the energies that a reader's assumptions change."""

import math

__all__ = ["count", "counted", "fixed", "listed", "p_text", "percent", "points", "scientific", "short", "si"]


def si(value: float | None) -> str:
    """A number with three digits and a prefix, such as ``1.23 M``."""
    if value is None:
        return "-"
    if value == 0 or not math.isfinite(value):
        return f"{value:.0f} "
    power = min(max(math.floor(math.log10(abs(value)) / 3), -5), 5)
    scaled = value / 1000.0**power
    if round(abs(scaled), 0 if abs(scaled) >= 100 else 1) >= 1000 and power < 5:
        power, scaled = power + 1, scaled / 1000
    prefix = "fpnum kMGTP"[power + 5].strip()
    return f"{scaled:#.3g}".rstrip(".") + f" {prefix}"


def count(value: int) -> str:
    """A number of things: whole below ten thousand, with a prefix above."""
    return f"{value}" if value < 10_000 else si(value).strip()


def counted(number: int, thing: str) -> str:
    """How many there are of a thing: ``1 thread``, ``2 epochs``, ``2 mini-batches``."""
    hissing = thing.endswith(("s", "x", "ch", "sh")) and not thing.endswith("epoch")
    plural = "es" if hissing else "s"
    return f"{number} {thing}{'' if number == 1 else plural}"


def listed(names: list[str], most: int = 8) -> str:
    """Names in one line; of many, the first and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def percent(share: float | None) -> str:
    """A share as per cent with two digits, ``-`` for None."""
    return "-" if share is None else f"{100 * share:.2f} %"


def points(share: float | None) -> str:
    """A difference of shares in percentage points, ``-`` for None."""
    return "-" if share is None else f"{100 * share:.2f}"


def p_text(value: float | None) -> str:
    """A p value with two digits, ``-`` for None."""
    return "-" if value is None else f"{value:.2g}"


def fixed(value: float | None) -> str:
    """Four digits after the point, ``-`` for None."""
    return "-" if value is None else f"{value:.4f}"


def scientific(value: float | None) -> str:
    """Three digits and an exponent, ``-`` for None."""
    return "-" if value is None else f"{value:.2e}"


def short(value: float | None) -> str:
    """Six significant digits in the shorter form, ``-`` for None."""
    return "-" if value is None else f"{value:.6g}"
