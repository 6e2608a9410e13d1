"""Colors, signs and icons, for a light page and a dark one.

The colors of the statuses keep apart for the color-blind (after Okabe and Ito, *Color Universal Design*,
2008), and each status has a sign of its own as well. On every paint that text is written on, the
contrast is at least 4.5 to 1 (WCAG 2.2, 1.4.3); a test computes it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DARK", "FONT", "HUES", "ICONS", "LIGHT", "LOOKS", "SEVERITIES", "Look", "look_of", "most_pressing"]

FONT = "Arial, Helvetica, 'Liberation Sans', 'DejaVu Sans', sans-serif"
HUES = 8
"""How many paints there are for what has no order: `hue-0` and so on."""

# 16 by 16 units, drawn as lines.
ICONS = {
    "code": "M5.5 4 2 8l3.5 4M10.5 4 14 8l-3.5 4",
    "globe": "M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0-12M2 8h12M8 2c2 1.7 3 3.7 3 6s-1 4.3-3 6M8 2c-2 1.7-3 3.7-3 6s1 4.3 3 6",
    "person": "M8 2a3 3 0 1 0 0 6a3 3 0 1 0 0-6M2.5 14.5c.3-3.2 2.5-4.5 5.5-4.5s5.2 1.3 5.5 4.5",
    "gear": "M8 5.2a2.8 2.8 0 1 0 0 5.6a2.8 2.8 0 1 0 0-5.6M8 1.5v2M8 12.5v2M1.5 8h2M12.5 8h2"
    "M3.4 3.4l1.5 1.5M11.1 11.1l1.5 1.5M3.4 12.6l1.5-1.5M11.1 4.9l1.5-1.5",
    "database": "M3 4c0-1.1 2.2-2 5-2s5 .9 5 2-2.2 2-5 2-5-.9-5-2v8c0 1.1 2.2 2 5 2s5-.9 5-2V4"
    "M3 8c0 1.1 2.2 2 5 2s5-.9 5-2",
    "robot": "M3.5 6h9v7h-9zM8 6V2.5M6.2 9v1M9.8 9v1",
    "spark": "M8 2l1.5 4.5L14 8l-4.5 1.5L8 14l-1.5-4.5L2 8l4.5-1.5z",
    "call": "M13 8.5V13H3V3h4.5M9.5 2.5h4v4M13.5 2.5 7.5 8.5",
    "clock": "M8 2a6 6 0 1 0 0 12a6 6 0 1 0 0-12M8 4.5V8l2.6 1.6",
    "envelope": "M2 4h12v8.5H2zM2 4.3l6 4.7 6-4.7",
    "callback": "M6.5 3 3 6.5 6.5 10M3 6.5h6.2a3.4 3.4 0 0 1 0 6.8H7",
    "bolt": "M9.5 1.8 4 9h3.6l-1 5.2L12 7H8.4z",
    "undo": "M8 4.3 3 8l5 3.7zM13 4.3 8 8l5 3.7z",
    "undoing": "M7.5 4.3 3 8l4.5 3.7zM10.6 8h.01M13.4 8h.01",
    "each": "M3 4.5h10M3 8h10M3 11.5h10",
    "loop": "M12.7 8.4a4.7 4.7 0 1 1-1.5-3.9M11.6 1.6v3.2H8.4",
    "scope": "M3 3h10v10H3zM5.5 8h5M8 5.5v5",
    "exclusive": "M4.2 4.2l7.6 7.6M11.8 4.2l-7.6 7.6",
    "parallel": "M8 2.5v11M2.5 8h11",
    "inclusive": "M8 3a5 5 0 1 0 0 10a5 5 0 1 0 0-10",
    "event": "M8 1.6a6.4 6.4 0 1 0 0 12.8a6.4 6.4 0 1 0 0-12.8M8 4.2l3.7 2.7-1.4 4.3H5.7L4.3 6.9z",
    "more": "M3.5 8h.01M8 8h.01M12.5 8h.01",
    "check": "M3.5 8.6l3 3 6-7",
    "cross": "M4.2 4.2l7.6 7.6M11.8 4.2l-7.6 7.6",
    "pause": "M6 4.5v7M10 4.5v7",
    "circle": "M8 4.5a3.5 3.5 0 1 0 0 7a3.5 3.5 0 1 0 0-7",
    "skip": "M4 4.5 7.5 8 4 11.5M8.5 4.5 12 8l-3.5 3.5",
    "bar": "M4 12 12 4",
    "exclamation": "M8 3v6M8 12.6h.01",
    "note": "M8 7.2V13M8 3.4h.01",
}


@dataclass(frozen=True, slots=True)
class Look:
    """How a status is shown: its sign in text, its icon in a picture, its word, its paint."""

    sign: str
    icon: str
    word: str
    paint: str


# The most pressing first: that is what a folded scope or a loop shows for all of its steps.
LOOKS = {
    "FAILED": Look("✗", "cross", "failed", "failed"),
    "DEAD_LETTERED": Look("✉", "envelope", "dead-lettered", "failed"),
    "RETRYING": Look("↺", "loop", "retrying", "held"),
    "RUNNING": Look("…", "more", "running", "active"),
    "COMPENSATING": Look("«…", "undoing", "compensating", "undone"),
    "WAITING": Look("‖", "pause", "waiting", "held"),
    "PENDING": Look("○", "circle", "pending", "idle"),
    "COMPENSATED": Look("«", "undo", "compensated", "undone"),
    "COMPLETED": Look("✓", "check", "completed", "done"),
    "CANCELLED": Look("⊘", "bar", "cancelled", "idle"),
    "SKIPPED": Look("»", "skip", "skipped", "idle"),
}

SEVERITIES = {
    "error": Look("✗", "cross", "error", "failed"),
    "critical": Look("✗", "cross", "critical", "failed"),
    "warning": Look("⚠", "exclamation", "warning", "held"),
    "info": Look("ℹ", "note", "info", "active"),  # noqa: RUF001 -- the sign is meant
    "waived": Look("⊘", "bar", "waived", "idle"),
}

LIGHT = {
    "page": "#ffffff",
    "text": "#1f2328",
    "soft": "#57606a",
    "line": "#57606a",
    "box": "#f5f7fa",
    "group": "#fbfcfd",
    "border": "#8c959f",
    "alarm": "#b42318",
    "late": "#8a5a00",
    "undo": "#7a3e9d",
    "done": "#00704f",
    "done-tint": "#ddf3ea",
    "failed": "#b83f00",
    "failed-tint": "#fde6da",
    "active": "#005fa3",
    "active-tint": "#dcecfa",
    "held": "#805500",
    "held-tint": "#fcf0cd",
    "undone": "#7a3e9d",
    "undone-tint": "#f1e6f7",
    "idle": "#5d6670",
    "idle-tint": "#eceff2",
    "level-0": "#f1f6fb",
    "level-1": "#dbe9f6",
    "level-2": "#c0d9ef",
    "level-3": "#9ec6e6",
    "level-4": "#79b0dd",
    "heat-0": "#fdf5ee",
    "heat-1": "#fce3cc",
    "heat-2": "#f8cba6",
    "heat-3": "#f2ad7c",
    "heat-4": "#ea8d55",
    "hue-0": "#cfe3f7",
    "hue-1": "#fbdcc0",
    "hue-2": "#cfead9",
    "hue-3": "#e6d6f1",
    "hue-4": "#fbeeb0",
    "hue-5": "#f6d0da",
    "hue-6": "#cdeaf0",
    "hue-7": "#e3e0cc",
    "pace-0": "#8a939c",
    "pace-1": "#b58300",
    "pace-2": "#c8501a",
    "pace-3": "#8f1424",
}

DARK = {
    "page": "#16191d",
    "text": "#e6edf3",
    "soft": "#a5afb9",
    "line": "#a5afb9",
    "box": "#242a31",
    "group": "#1c2127",
    "border": "#6b7580",
    "alarm": "#ff8a80",
    "late": "#e3b341",
    "undo": "#cfa8ec",
    "done": "#4fd1a5",
    "done-tint": "#12392d",
    "failed": "#ff9a6b",
    "failed-tint": "#46210f",
    "active": "#79c0ff",
    "active-tint": "#10304d",
    "held": "#f0c04a",
    "held-tint": "#3d2f08",
    "undone": "#cfa8ec",
    "undone-tint": "#38244a",
    "idle": "#a5afb9",
    "idle-tint": "#2b3138",
    "level-0": "#1e2834",
    "level-1": "#1f3650",
    "level-2": "#20456e",
    "level-3": "#21568c",
    "level-4": "#2467aa",
    "heat-0": "#29221c",
    "heat-1": "#442d1c",
    "heat-2": "#613a1c",
    "heat-3": "#80471b",
    "heat-4": "#9c5318",
    "hue-0": "#1d3f63",
    "hue-1": "#5a3517",
    "hue-2": "#174a35",
    "hue-3": "#472f5c",
    "hue-4": "#4a3f10",
    "hue-5": "#5a2637",
    "hue-6": "#15484f",
    "hue-7": "#414028",
    "pace-0": "#77818c",
    "pace-1": "#c09a2c",
    "pace-2": "#f08a4b",
    "pace-3": "#ff7d86",
}


def look_of(status: str) -> Look:
    """Return how a status or a severity looks; one that is not known looks idle.

    Examples
    --------
    >>> look_of("COMPLETED").sign
    '✓'
    """
    return LOOKS.get(status) or SEVERITIES.get(status) or Look("•", "circle", status.lower(), "idle")


def most_pressing(statuses: list[str]) -> str:
    """Return the status that stands for several; one that is not known counts as the least pressing.

    Examples
    --------
    >>> most_pressing(["COMPLETED", "FAILED", "COMPLETED"])
    'FAILED'
    """
    order = list(LOOKS)
    return min(statuses, key=lambda status: order.index(status) if status in LOOKS else len(order))
