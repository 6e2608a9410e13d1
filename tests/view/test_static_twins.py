"""What a notebook keeps of a picture: seen without kernel, without trust and in exported pages, and it runs nothing."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import nbformat
import pandas as pd
import pytest
from nbconvert import HTMLExporter

import orchkit as ok

DAY = pd.Timestamp("2024-05-06T09:00Z")
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</title></svg><script>alert(1)</script>",
    "</style><script>alert(2)</script>",
    "javascript:alert(1)",
    "\u202egnp.exe\u2066",
    "\N{ARABIC LETTER ALEF}\u200f check",
    "x" * 10_000,
    "\x00\x1b[31m${alert(3)} {{ alert(4) }}",
]


def hostile_log() -> ok.EventLog:
    """Return a log that holds hostile text in every field that a picture shows."""
    rows = [
        {
            "case_id": f"{text}{case}",
            "activity": text,
            "started": DAY + pd.Timedelta(minutes=place),
            "completed": DAY + pd.Timedelta(minutes=place + case),
            "status": "FAILED" if place % 2 else "COMPLETED",
            "resource": text,
            "role": text,
            "error_class": "transient",
            "error_type": text,
            "error_message": text,
            "compensates": text,
        }
        for case, order in enumerate((HOSTILE, HOSTILE[::-1]), start=1)
        for place, text in enumerate(order)
    ]
    # The whole way in one case, and each step in another.
    whole = [row | {"case_id": HOSTILE[0]} for row in rows[: len(HOSTILE)]]
    return ok.EventLog(pd.DataFrame([*rows, *whole]))


def hostile_workflow() -> ok.Workflow:
    tasks = pd.DataFrame({"node": HOSTILE[:6], "kind": "task", "role": HOSTILE[:6], "description": HOSTILE[:6]})
    flows = pd.DataFrame({"source": HOSTILE[:5], "target": HOSTILE[1:6]})
    return ok.Workflow.from_frames(tasks, flows, name=HOSTILE[1])


PICTURES = {
    "process_map": ok.process_map,
    "draw": lambda log: ok.draw(hostile_workflow(), log, heat="failures"),
    "variants": lambda log: ok.charts.variants(log),
    "dotted_chart": lambda log: ok.charts.dotted_chart(log),
    "gantt": lambda log: ok.charts.gantt(log, HOSTILE[0]),
    "failures": lambda log: ok.charts.failures(log),
    "survival": lambda log: ok.charts.survival({HOSTILE[0]: log, HOSTILE[6]: log}, sla="1 min"),
    "cycle_times": lambda log: ok.charts.cycle_times({HOSTILE[0]: log, HOSTILE[6]: log}),
}


@pytest.fixture(scope="module", params=list(PICTURES))
def bundle(request) -> dict:
    return PICTURES[request.param](hostile_log())._repr_mimebundle_()


class Page(HTMLParser):
    """Collects what could run, load or lead somewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.dangers: list[tuple[str, str | None]] = []
        self.images: list[str] = []

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.add(tag)
        for name, value in attributes:
            if tag == "img" and name == "src" and (value or "").startswith("data:image/png;base64,"):
                self.images.append(value)
            elif name.startswith("on") or name in {"src", "href", "xlink:href", "srcset", "action"}:
                self.dangers.append((name, value))


def page_of(html: str) -> Page:
    page = Page()
    page.feed(html)
    return page


@pytest.mark.parametrize("mime", ["text/html", "image/svg+xml"])
def test_hostile_text_runs_nothing(bundle, mime):
    page = page_of(bundle[mime])

    assert page.tags.isdisjoint(
        {"script", "iframe", "object", "embed", "foreignobject", "form", "link", "base", "meta"}
    )
    # A drawing may refer to parts of itself.
    assert [danger for danger in page.dangers if not (danger[1] or "").startswith("#")] == []


def test_hostile_text_turns_no_writing_around_and_makes_no_endless_line(bundle):
    for mime in ("text/html", "image/svg+xml", "text/plain"):
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", bundle[mime])
    assert max(len(line) for line in bundle["text/plain"].splitlines()) < 2_000
    written = re.findall(r"<text[^>]*>([^<]*)</text>", bundle["image/svg+xml"])
    assert written
    assert max(map(len, written)) < 260
    width = float(re.search(r'<svg [^>]*?width="([\d.]+)"', bundle["image/svg+xml"])[1])
    assert width < 6_000


def test_the_picture_is_there_without_trust(bundle):
    # JupyterLab takes drawings, styles and scripts out of a page that is not trusted: images stay.
    assert page_of(bundle["text/html"]).images
    assert (
        bundle["image/png"].startswith("iVBOR")
        if isinstance(bundle["image/png"], str)
        else bundle["image/png"][:4] == b"\x89PNG"
    )


def test_an_exported_notebook_has_the_picture_and_no_script_of_ours(bundle):
    data = {mime: content for mime, content in bundle.items() if isinstance(content, str)}
    cell = nbformat.v4.new_code_cell(
        "picture", outputs=[nbformat.v4.new_output("execute_result", data, execution_count=1)]
    )
    notebook = nbformat.v4.new_notebook(cells=[cell])
    empty = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("picture")])

    exporter = HTMLExporter(template_name="basic")
    exported, plain = (page_of(exporter.from_notebook_node(one)[0]) for one in (notebook, empty))

    assert "svg" in exported.tags
    assert exported.images
    assert "script" not in exported.tags - plain.tags
    outside = [danger for danger in exported.dangers if not (danger[1] or "").startswith("#")]
    assert [danger for danger in outside if danger not in plain.dangers] == []
