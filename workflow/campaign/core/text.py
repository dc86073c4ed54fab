"""Numbers as people read them."""


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
    """A duration: 31 ms, 1.4 s, 12 s, 3 m 20 s, 2 h 05 m, 3 d 04 h."""
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
            return f"{whole // size} {unit} {whole % size // part:02d} {below}"
    raise AssertionError("days take every duration")
