"""Colors can be read, in both themes."""

from __future__ import annotations

import pytest

from orchkit.model.states import RunStatus, StepStatus
from orchkit.view.theme import DARK, HUES, ICONS, LIGHT, LOOKS


def luminance(color: str) -> float:
    """Return the relative luminance of a color (WCAG 2.2)."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_computed_as_the_standard_says():
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_and_signs_stand_out(theme):
    tints = [name for name in theme if name.endswith("-tint")]
    assert len(tints) == 6
    for ground in ("page", "box", "group", *tints):
        assert contrast(theme["text"], theme[ground]) >= 4.5
    for ground in ("page", "box", "group"):
        for ink in ("soft", "alarm", "late", "undo"):
            assert contrast(theme[ink], theme[ground]) >= 4.5
    for paint in (tint.removesuffix("-tint") for tint in tints):
        assert contrast(theme[paint], theme["page"]) >= 4.5
        assert contrast(theme[paint], theme[f"{paint}-tint"]) >= 4.5
        assert contrast(theme["soft"], theme[f"{paint}-tint"]) >= 4.5


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_shades_bear_text_and_lines_stand_out(theme):
    for level in range(5):
        assert contrast(theme["text"], theme[f"level-{level}"]) >= 4.5
        assert contrast(theme["text"], theme[f"heat-{level}"]) >= 4.5
    for hue in range(HUES):
        assert contrast(theme["text"], theme[f"hue-{hue}"]) >= 4.5
    for pace in range(4):  # lines: WCAG 2.2, 1.4.11
        assert contrast(theme[f"pace-{pace}"], theme["page"]) >= 3.0


def test_themes_have_the_same_paints():
    assert list(LIGHT) == list(DARK)


def test_every_status_has_a_sign_and_a_word_of_its_own():
    assert set(LOOKS) == {*StepStatus, *RunStatus}
    assert len({look.sign for look in LOOKS.values()}) == len({look.word for look in LOOKS.values()}) == len(LOOKS)
    assert len({ICONS[look.icon] for look in LOOKS.values()}) == len(LOOKS)
