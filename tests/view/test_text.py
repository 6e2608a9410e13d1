"""Text is made to fit."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchkit.view.text import clean, shorten, text_width, wrap


def test_names_break_after_underscores_and_conditions_at_spaces():
    assert wrap("send_confirmation_again", 90, 12) == ("send_", "confirmation_", "again")
    assert wrap("order.total > limits[order.kind]", 120, 12, is_name=False) == ("order.total >", "limits[order.kind]")


def test_long_words_are_cut_and_the_rest_is_an_ellipsis():
    assert wrap("A" * 100, 50, 12) == ("AAAAA", "AAAAA", "AAAA…")


def test_wide_characters_take_more_room():
    assert text_width("日本", 10) > text_width("ab", 10)
    assert text_width("e\u0301", 10) == text_width("e", 10)


@given(st.text(), st.floats(20, 200), st.integers(1, 4))
def test_lines_fit(text, width, lines):
    done = wrap(text, width, 12, lines=lines)
    assert 1 <= len(done) <= lines
    assert all(text_width(line, 12) <= width for line in done)


@given(st.text(), st.integers(2, 50))
def test_shortened_text_fits_on_one_line(text, limit):
    short = shorten(text, limit)
    assert len(short) <= limit
    assert "\n" not in short


@given(st.text(st.characters()))
def test_clean_text_can_be_written(text):
    assert len(clean(text)) == len(text)
    clean(text).encode()
