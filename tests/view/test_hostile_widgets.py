"""Hostile text in every field that a widget shows: its twin runs nothing and has no endless line."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

import orchkit as ok

HOSTILE = {
    "image": "<img src=x onerror=alert(1)>",
    "script": "</script></style></title></svg><script>alert(1)</script>",
    "link": "javascript:alert(1)",
    "reversed": "a\u202egnp.exe\u2066",
    "long": "x" * 10_000,
}
FORBIDDEN = {"script", "iframe", "object", "embed", "foreignobject", "form", "link", "base", "meta"}


class Page(HTMLParser):
    """Collects what could run, load or lead somewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.dangers: list[str] = []

    def handle_starttag(self, tag, attributes) -> None:
        if tag in FORBIDDEN:
            self.dangers.append(tag)
        for name, value in attributes:
            is_own = (value or "").startswith(("#", "data:image/png;base64,"))
            if name.startswith("on") or (name in {"src", "href", "xlink:href"} and not is_own):
                self.dangers.append(f"{tag} {name}={value}")


def order(text: str) -> ok.Workflow:
    form = {
        "type": "object",
        "title": text,
        "description": text,
        "properties": {text: {"type": "string", "title": text, "description": text, "default": text}},
    }
    settings = {"form": form, "title": text, "instructions": text, "data": {text: text}}
    return ok.workflow(
        text,
        [
            ok.task(text, executor="human", role=text, description=text, settings=settings),
            ok.task("pay", description=text, retry={"max_attempts": 1}),
        ],
        description=text,
        inputs={"known": {"type": "string", "title": text, "description": text}},
        alerts=[ok.Alert(text, "failure_rate > 1%", severity="critical")],
    )


def views(text: str):
    def pay():
        raise ok.TransientError(text)

    workflow = order(text)
    with ok.Engine(handlers={"pay": pay}) as engine, ok.watch(engine, every=None) as watch:
        run = engine.start(workflow, {"known": text}, case_id=text)
        inbox = ok.Inbox(engine, role=text, by=text)
        waiting = inbox._repr_mimebundle_()
        inbox.act("complete", item=inbox.state["items"][0]["item_id"], data={text: text})
        inbox.close()
        run.wait("30 s")
        watch.check()
        open_views = {
            "monitor": ok.Monitor(engine, watch=watch),
            "run": ok.RunView(run),
            "letters": ok.DeadLetters(engine, by=text),
        }
        found = {"inbox": waiting, **{name: view._repr_mimebundle_() for name, view in open_views.items()}}
        for view in open_views.values():
            view.close()
    modeler = ok.Modeler(workflow)
    modeler.act("write_yaml", text=text)
    scenario = ok.Scenario(ok.exponential("1 h"), {text: "5 min", "pay": "1 min"}, {text: 1})
    what_if = ok.WhatIf(workflow, scenario, cases=20, replications=2)
    what_if.act("keep", name=text)
    return {**found, "modeler": modeler._repr_mimebundle_(), "what_if": what_if._repr_mimebundle_()}


@pytest.mark.parametrize("kind", list(HOSTILE))
def test_hostile_text_in_every_field_runs_nothing_and_breaks_no_twin(kind):
    found = views(HOSTILE[kind])

    assert set(found) == {"inbox", "monitor", "run", "letters", "modeler", "what_if"}
    for name, bundle in found.items():
        for mime in ("text/html", "image/svg+xml"):
            page = Page()
            page.feed(bundle[mime])
            assert (name, mime, page.dangers) == (name, mime, [])
            assert not re.search("[\u202a-\u202e\u2066-\u2069]", bundle[mime]), name
        width = float(re.search(r'<svg [^>]*?width="([\d.]+)"', bundle["image/svg+xml"])[1])
        assert width < 6_000, name
        if kind == "long":
            assert max(map(len, bundle["text/plain"].splitlines())) < 4_000, name
