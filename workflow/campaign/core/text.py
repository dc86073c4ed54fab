"""Texts for people: numbers, durations, the nearest of some names, lists of them, the last line of a program's words."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

_LONGEST_LINE = 300


def count(value: float | None) -> str:
    """A whole number with thousands separated; nothing where there is none."""
    return "" if value is None else f"{value:,.0f}"


def number(value: float | None) -> str:
    """Three significant digits, or all of them before the point."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percent(value: float | None) -> str:
    """A fraction as a whole percentage."""
    return "" if value is None else f"{100 * value:.0f} %"


def seconds(value: float | None) -> str:
    """A duration: 31 ms, 1.4 s, 12 s, 3 m 20 s, 10 m, 2 h 05 m, 3 d 04 h."""
    if value is None:
        return ""
    if value < 0.995:
        return f"{value * 1000:.2g} ms" if value < 0.0995 else f"{value * 1000:.0f} ms"
    if value < 9.95:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    for unit, size, below, part in (("m", 60, "s", 1), ("h", 3600, "m", 60), ("d", 86400, "h", 3600)):
        if whole < size * 60 or unit == "d" or (unit == "h" and whole < 86400):
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest:02d} {below}" if rest else "")
    raise AssertionError("days take every duration")


def duration(value: float) -> str:
    """A duration as the config writes it: 90s is 1m30s, then 10m, 1h30m, 25h, 2d. Seconds beyond an hour are left out."""
    whole = round(value)
    if whole and whole % 86400 == 0:
        return f"{whole // 86400}d"
    parts = ((whole // 3600, "h"), (whole % 3600 // 60, "m"), (0 if whole >= 3600 else whole % 60, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number) or "0s"


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The name that is nearest to a misspelt one; None when none is near."""
    return next(iter(get_close_matches(word, list(known), n=1, cutoff=cutoff)), None)


def did_you_mean(near: str | None, otherwise: str, mark: str = "'") -> str:
    """The remedy for a misspelt name: the one that is near (see `nearest`), or what to do when none is."""
    return f"did you mean {mark}{near}{mark}?" if near is not None else otherwise


def listed(names: Sequence[object], most: int = 5) -> str:
    """Names in a message: the first `most`, and how many more there are."""
    return ", ".join(map(str, names[:most])) + (f" and {len(names) - most} more" if len(names) > most else "")


def last_line(text: str) -> str | None:
    """The last line that says something, mostly why a program ended; None when there is none."""
    return next((line.strip()[:_LONGEST_LINE] for line in reversed(text.splitlines()) if line.strip()), None)
