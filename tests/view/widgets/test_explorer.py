"""LogExplorer: filters compose, are taken away one by one, and say themselves in code that gives the same."""

from __future__ import annotations

import json

import pandas as pd
import pytest

import orchkit as ok
from orchkit.view.process_map import ProcessMap

DAY = pd.Timestamp("2024-05-06T08:00Z")
WAYS = {
    "o1": (["receive", "pack", "ship"], "US", 10.0),
    "o2": (["receive", "pack", "ship"], "FR", 20.0),
    "o3": (["receive", "check", "pack", "ship"], "US", 30.0),
    "o4": (["receive", "check"], None, 40.0),
}


def log_of(ways=WAYS) -> ok.EventLog:
    steps = [
        {
            "case_id": case,
            "activity": name,
            "completed": DAY + pd.Timedelta(days=day, hours=place),
            "resource": "Ann" if place % 2 else "Bob",
            "status": "FAILED" if (case, name) == ("o4", "check") else "COMPLETED",
            "error_type": "Timeout" if (case, name) == ("o4", "check") else None,
        }
        for day, (case, (names, _, _)) in enumerate(ways.items())
        for place, name in enumerate(names)
    ]
    cases = [{"case_id": case, "country": country, "amount": amount} for case, (_, country, amount) in ways.items()]
    return ok.EventLog(pd.DataFrame(steps), pd.DataFrame(cases))


@pytest.fixture
def explorer() -> ok.LogExplorer:
    return ok.LogExplorer(log_of())


def cases_of(explorer: ok.LogExplorer) -> list[str]:
    return explorer.log.cases["case_id"].tolist()


def offer(explorer: ok.LogExplorer, kind: str, name: str, words: str) -> dict:
    item = next(item for item in explorer.state["body"][kind] if item["name"] == name)
    ask = next(ask for ask in item["asks"] if ask["words"] == words)
    return {"offer": ask["ask"], "is_without": ask["is_without"]}


def test_filters_compose_and_are_taken_away_in_any_order(explorer):
    explorer.act("keep", **offer(explorer, "stops", "check", "without it"))
    explorer.act("keep", **offer(explorer, "ways", "receive → pack", "that take it"))
    explorer.act("window", first=0, last=10)
    assert cases_of(explorer) == ["o1"]
    assert explorer.state["chips"][:2] == ["without check", "receive → pack"]

    explorer.act("drop", place=0)
    assert cases_of(explorer) == ["o1"]
    explorer.act("drop", place=1)
    assert cases_of(explorer) == ["o1", "o2"]
    explorer.act("undo")
    assert cases_of(explorer) == ["o1"]
    explorer.act("redo")
    assert cases_of(explorer) == ["o1", "o2"]
    explorer.act("reset")
    assert cases_of(explorer) == ["o1", "o2", "o3", "o4"]
    explorer.act("undo")
    assert cases_of(explorer) == ["o1", "o2"]


def test_the_figures_are_those_of_what_is_left(explorer):
    explorer.without(activity="check")
    assert [(figure["title"], figure["value"], figure["note"]) for figure in explorer.state["figures"]] == [
        ("cases", "2", "of 4"),
        ("events", "6", "of 12"),
        ("median cycle time", "2h", "95% in 2h"),
        ("failure rate", "0%", "0 attempts, 0 cases"),
    ]


def everything(explorer: ok.LogExplorer) -> list[str]:
    """Return the names of all that any tab offers now."""
    found = []
    for tab in explorer.state["tabs"]:
        explorer.act("show_tab", name=tab)
        for place in range(len(explorer.state["body"].get("titles", [0]))):
            explorer.act("set_column", place=place)
            body = explorer.state["body"]
            items = [ask for kind in ("stops", "ways") for item in body.get(kind, []) for ask in item["asks"]]
            found += [item["ask"] for item in (*items, *body.get("rows", []), *body.get("values", []))]
    return list(dict.fromkeys(found))


def given_by(code: str, log: ok.EventLog) -> object:
    *lines, last = code.splitlines()
    names = {"log": log}
    exec("\n".join([*lines, f"result = {last}"]), names)
    return names["result"]


@pytest.mark.parametrize("is_without", [False, True])
def test_the_code_that_is_shown_gives_the_frame_that_is_shown(explorer, is_without):
    log, offers = log_of(), everything(explorer)
    assert len(offers) > 30
    for number, name in enumerate(offers):
        explorer.act("reset")
        explorer.act("show_tab", name=explorer.state["tabs"][1 + number % 4])
        explorer.act("keep", offer=name, is_without=is_without)
        assert explorer.problem == ""
        pd.testing.assert_frame_equal(given_by(explorer.code, log), explorer.result)


def test_the_code_that_is_shown_gives_the_map_that_is_shown(explorer):
    explorer.without(path=["receive", "check"])
    explorer.act("set_map", show="time", min_share=0.3)
    given = given_by(explorer.code, log_of())
    assert isinstance(given, ProcessMap)
    assert given.to_svg() == explorer.to_svg()


def test_a_number_is_filtered_by_a_range(explorer):
    titles = explorer_columns(explorer)
    explorer.act("set_column", place=titles.index("amount"))
    explorer.act("within", low=15, high=30)
    assert cases_of(explorer) == ["o2", "o3"]
    explorer.act("set_column", place=titles.index("country"))
    explorer.act("within", low=15, high=30)
    assert explorer.problem == "country has no range: it is not a number."


def explorer_columns(explorer: ok.LogExplorer) -> list[str]:
    explorer.act("show_tab", name="Cases")
    return explorer.state["body"]["titles"]


def test_the_map_shows_frequencies_or_times_in_more_or_less_detail(explorer):
    explorer.act("set_map", show="time", min_share=0.5)
    assert (explorer.result.show, explorer.result.min_share) == ("time", 0.5)
    assert explorer.code.endswith("ok.process_map(log, min_share=0.5, show='time')")
    assert "Times taken:" not in explorer.to_svg()
    explorer.act("set_map", show="frequency")
    assert "Times taken:" in explorer.to_svg()
    assert "Median time" not in explorer.to_svg()


def test_where_nothing_is_left_it_says_so_and_goes_back(explorer):
    explorer.where(activity="ship")
    explorer.where(longer_than="900 days")
    for tab in explorer.state["tabs"]:
        explorer.act("show_tab", name=tab)
        assert explorer.state["body"] == {"empty": "No case is left: take a filter away."}
        assert "<svg" in explorer.to_svg()
    explorer.act("undo")
    assert cases_of(explorer) == ["o1", "o2", "o3"]


def test_what_cannot_be_asked_changes_nothing(explorer):
    explorer.act("keep", offer="q999")
    assert explorer.problem == "Nothing is offered as 'q999'."
    explorer.act("drop", place=3)
    assert explorer.problem == "There is no filter 3."
    explorer.act("show_tab", name="Mapp")
    assert explorer.problem.startswith("There is no tab 'Mapp'")
    with pytest.raises(ok.LogError, match="shipp"):
        explorer.where(activity="shipp")
    assert explorer.state["chips"] == []


def test_a_log_without_cases_is_shown_empty():
    explorer = ok.LogExplorer(ok.EventLog(pd.DataFrame({"case_id": [], "activity": [], "completed": []})))
    assert explorer.state["body"] == {"empty": "No case is left: take a filter away."}
    assert explorer.code == "import orchkit as ok\n\nok.process_map(log, min_share=0.05, show='frequency')"


HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "</script>",
    "javascript:alert(1)",
    "\u202egnp.exe",
    "x" * 10_000,
    "it's \\ \"\n",
]


def test_hostile_names_stay_text_and_short_and_their_code_runs():
    ways = {f"{text} {number}": ([text, *HOSTILE[:number]], text, 1.0) for number, text in enumerate(HOSTILE)}
    log = log_of(ways)
    explorer = ok.LogExplorer(log)
    offers = everything(explorer)
    for tab in explorer.state["tabs"]:
        explorer.act("show_tab", name=tab)
        words = json.dumps({**explorer.state["body"], "svg": ""}, ensure_ascii=False)
        assert "\u202e" not in words
        assert "x" * 200 not in words
        html = explorer.to_html()
        assert "<img src=x" not in html
        assert "<script" not in html
    for name in offers:
        explorer.act("reset")
        explorer.act("keep", offer=name)
        assert "\u202e" not in explorer.code
        exec(explorer.code, {"log": log})
    assert all(len(chip) < 120 for chip in explorer.state["chips"])
