"""Tables as pictures."""

from __future__ import annotations

import zlib
from itertools import pairwise
from xml.etree import ElementTree as ET

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from orchkit.view.tables import picture_of, with_picture

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


def issues() -> pd.DataFrame:
    return pd.DataFrame({"severity": ["error", "info"], "node": ["ship", "<b>"], "count": [1, 12_345]})


def test_a_table_is_drawn_row_by_row_with_numbers_for_people():
    assert texts(picture_of(issues(), "Checks").to_svg()) == [
        "Checks", "severity", "node", "count", "error", "ship", "1", "info", "<b>", "12,345",
    ]  # fmt: skip


def test_severities_have_a_sign_each_not_only_a_color():
    paths = [element.get("d") for element in ET.fromstring(picture_of(issues(), "").to_svg()).iter(f"{SVG}path")]
    assert "M4.2 4.2l7.6 7.6M11.8 4.2l-7.6 7.6" in paths
    assert "M8 7.2V13M8 3.4h.01" in paths


def test_what_is_left_out_is_said():
    svg = picture_of(pd.DataFrame({"n": range(50)}), "Many", note="a note").to_svg()
    assert texts(svg)[-3:] == ["39", "… 10 more rows", "a note"]


def test_a_display_holds_a_table_its_picture_and_text():
    bundle = with_picture(issues(), "Checks")
    assert set(bundle) == {"text/html", "image/svg+xml", "image/png", "text/plain"}
    assert bundle["image/png"].startswith(b"\x89PNG")
    assert bundle["text/plain"].splitlines()[0] == "Checks"


def test_a_png_keeps_its_pixels_when_it_is_squeezed():
    png, chunks, place = with_picture(issues(), "Checks")["image/png"], {}, 8
    while place < len(png):
        size, kind = int.from_bytes(png[place : place + 4], "big"), png[place + 4 : place + 8]
        content = png[place + 8 : place + 8 + size]
        assert zlib.crc32(kind + content) == int.from_bytes(png[place + 8 + size : place + 12 + size], "big")
        chunks[kind] = content
        place += size + 12
    width, height = (int.from_bytes(chunks[b"IHDR"][at : at + 4], "big") for at in (0, 4))
    assert list(chunks)[-1] == b"IEND"
    assert len(zlib.decompress(chunks[b"IDAT"])) == height * (4 * width + 1)


SEVERITIES, LONG = st.sampled_from(["error", "warning"]), st.text(max_size=2_000)


@given(st.lists(st.fixed_dictionaries({"severity": SEVERITIES, "what": st.text(), "why": LONG}), max_size=5))
def test_any_text_fits_and_is_escaped(rows):
    svg = ET.fromstring(picture_of(pd.DataFrame(rows, columns=["severity", "what", "why"]), "Any").to_svg())
    _, _, width, height = map(float, svg.get("viewBox").split())
    placed = [(float(text.get("y")), float(text.get("x"))) for text in svg.iter(f"{SVG}text")]
    assert all(0 < y < height and 0 < x < width for y, x in placed)
    assert all(below >= above for (above, _), (below, _) in pairwise(placed) if below - above > 40)
