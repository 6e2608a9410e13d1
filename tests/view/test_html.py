"""Tables for notebooks."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from orchkit.view.html import table_bundle, table_html


class Cells(HTMLParser):
    """Collects the tags and the text of the cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):  # noqa: ARG002 -- the parser gives both
        self.tags.append(tag)
        if tag in {"td", "th"}:
            self.cells.append("")

    def handle_data(self, data):
        if "td" in self.tags[-1:] or "th" in self.tags[-1:]:
            self.cells[-1] += data


def test_values_are_written_for_people():
    frame = pd.DataFrame(
        {
            "node": ["ship", None],
            "count": [1_234_567, 2],
            "mean_s": [0.123456, np.nan],
            "large": [12_345.678, 1.0],
            "when": pd.to_datetime(["2026-11-24T10:00:00.5Z", None]),
            "ok": [True, False],
            "items": [[1, 2], []],
        }
    )
    assert Cells(table_html(frame)).cells == [
        "node", "count", "mean_s", "large", "when", "ok", "items",
        "ship", "1,234,567", "0.1235", "12,346", "2026-11-24 10:00:00", "yes", "[1, 2]",
        "-", "2", "-", "1", "-", "no", "[]",
    ]  # fmt: skip


def test_statuses_and_severities_have_signs():
    frame = pd.DataFrame(
        {"status": ["COMPLETED", "FAILED"], "severity": ["warning", "info"], "name": ["error", "FAILED"]}
    )
    assert Cells(table_html(frame)).cells[3:] == ["✓ COMPLETED", "⚠ warning", "error", "✗ FAILED", "ℹ info", "FAILED"]  # noqa: RUF001


def test_caption_note_and_rows_left_out_are_told():
    frame = pd.DataFrame({"n": range(2_000)})
    bundle = table_bundle(frame, "Numbers", note="counted twice", max_rows=2)
    assert bundle["text/plain"] == "Numbers\nn\n0\n1\n… 1,998 more rows\ncounted twice"
    assert "<caption>Numbers</caption>" in bundle["text/html"]
    assert bundle["text/html"].count("<tr>") == 3
    assert "… 1,998 more rows" in bundle["text/html"]


def test_an_empty_frame_says_so():
    assert table_bundle(pd.DataFrame({"n": []}), "Failures")["text/plain"] == "Failures\nno rows"


def test_a_named_index_is_shown_and_another_is_not():
    frame = pd.DataFrame({"n": [1]}, index=pd.Index(["ship"], name="node"))
    assert Cells(table_html(frame)).cells == ["node", "n", "ship", "1"]
    assert Cells(table_html(pd.DataFrame({"n": [1]}, index=[7]))).cells == ["n", "1"]


def test_only_what_is_asked_for_is_made():
    frame = pd.DataFrame({"n": [1]})
    assert set(table_bundle(frame, include={"text/plain"})) == {"text/plain"}
    assert set(table_bundle(frame, exclude={"text/plain"})) == {"text/html"}


@given(st.text(), st.text())
def test_any_text_is_only_text(value, caption):
    html = table_html(pd.DataFrame({value: [value]}), caption, note=value)
    tags = [tag for tag in Cells(html).tags if tag not in {"caption", "div"}]
    assert tags == ["style", "table", "thead", "tr", "th", "tbody", "tr", "td"]
