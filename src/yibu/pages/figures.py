"""Numbers as people read them; the same in English and Chinese, but for the few that carry words (`Text`)."""

from __future__ import annotations

import math

MINUS = "\u2212"


def count(value: float) -> str:
    """12554 -> ``12,554``; a tick such as 0.5 keeps its decimals."""
    return f"{int(value):,}" if float(value).is_integer() else f"{value:g}"


def amount(value: float) -> str:
    """Three decimals (2.345), none where the value is large (1,234), two digits where it is tiny (0.00042)."""
    if abs(value) >= 1000:
        text = f"{value:,.0f}"
    elif 0 < abs(value) < 0.0005:
        text = f"{value:.2g}"
    else:
        text = f"{value:.3f}"
    return text.replace("-", MINUS)


def percent(value: float, digits: int = 1) -> str:
    """0.683 -> ``68.3%``."""
    return f"{100 * value:.{digits}f}%".replace("-", MINUS)


def figure(value: float, unit: str, short: bool = False) -> str:
    """A value of a metric in its unit; `short` is for ticks of an axis."""
    if unit == "share":
        return percent(value, 0 if short and math.isclose(100 * value, round(100 * value)) else 1)
    return f"{value:g}".replace("-", MINUS) if short else amount(value)


def limits(low: float | None, high: float | None, unit: str) -> str:
    """``[63.3, 72.4]``, a share in percent; empty where there is no interval."""
    if low is None or high is None:
        return ""
    if unit == "share":
        return f"[{_signed(100 * low, 1)}, {_signed(100 * high, 1)}]"
    return f"[{amount(low)}, {amount(high)}]"


def _signed(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return ("0." + "0" * digits if float(text) == 0 else text).replace("-", MINUS)


def p_value(p: float) -> str:
    """``< 0.001``, ``0.012``; never rounded across 0.05."""
    if p < 0.001:
        return "< 0.001"
    return "< 0.05" if p < 0.05 <= round(p, 3) else f"{p:.3f}"


def number(value: object) -> float | None:
    """The value as a finite float, else None (JSON has ``null`` or NaN where an interval cannot be had)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)
