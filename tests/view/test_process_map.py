"""The map of a log: what it shows, what it leaves out, and that it can be read."""

from __future__ import annotations

import dataclasses
import time
from collections import defaultdict
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orchkit as ok
from orchkit.errors import RenderError
from orchkit.view.map_graph import StopKind

SVG = "{http://www.w3.org/2000/svg}"
DAY = pd.Timestamp("2024-05-06T09:00Z")


def log_of(*ways: str | list[str], minutes: int = 60, **columns) -> ok.EventLog:
    """Return a log of cases, each a word whose letters are its activities, one every so many minutes."""
    rows = [
        {"case_id": f"c{case:05}", "activity": activity, "completed": DAY + pd.Timedelta(minutes=minutes * place)}
        for case, way in enumerate(ways)
        for place, activity in enumerate(way)
    ]
    return ok.EventLog(pd.DataFrame(rows).assign(**columns))


def parsed(picture) -> ET.Element:
    return ET.fromstring(picture.to_svg())


def texts(picture) -> list[str]:
    return [text.text for text in parsed(picture).iter(f"{SVG}text")]


def shown(process_map) -> set[tuple[str, str]]:
    """Return the flows that are drawn, by the names of what they connect."""
    names = {stop.key: stop.name for stop in process_map.graph.stops}
    return {(names[way.source], names[way.target]) for way in process_map.graph.ways}


def unreached(process_map) -> set[str]:
    """Return the stops that no path leads to from the start, or from which none leads to an end."""
    ways = process_map.graph.ways
    ends = [stop.key for stop in process_map.graph.stops if stop.kind is StopKind.END]
    keys = {stop.key for stop in process_map.graph.stops}
    forth = [(way.source, way.target) for way in ways]
    back = [(way.target, way.source) for way in ways]
    return (keys - closure(forth, ["start"])) | (keys - closure(back, ends))


def closure(pairs, roots) -> set[str]:
    following = defaultdict(list)
    for source, target in pairs:
        following[source].append(target)
    seen, waiting = set(), list(roots)
    while waiting:
        key = waiting.pop()
        if key not in seen:
            seen.add(key)
            waiting += following[key]
    return seen


# What it shows.


def test_counts_and_times_stand_on_one_map():
    process_map = ok.process_map(log_of("abc", "abc", "ac"), min_share=0)

    flows = process_map.flows.set_index(["source", "target"])
    assert flows["count"].to_dict() == {("a", "b"): 2, ("b", "c"): 2, ("a", "c"): 1}
    assert flows["share"].round(3).to_dict() == {("a", "b"): 0.667, ("b", "c"): 0.667, ("a", "c"): 0.333}
    assert flows.loc[("a", "b"), "median_s"] == 3600.0
    written = texts(process_map)
    assert {"3 · 100% of cases", "2 · 67% of cases", "1h, 95% in 1h"} <= set(written)


def test_the_flows_are_those_that_directly_follows_counts():
    log = log_of("abab", "ab", "ba")

    flows = ok.process_map(log).flows

    pd.testing.assert_frame_equal(flows.drop(columns=["cases", "share"]), ok.directly_follows(log))
    assert flows.set_index(["source", "target"])["cases"].to_dict() == {("a", "b"): 2, ("b", "a"): 2}


def test_a_step_with_start_and_end_says_how_long_it_takes():
    steps = pd.DataFrame(
        {"case_id": ["1"], "activity": ["a"], "started": [DAY], "completed": [DAY + pd.Timedelta("90s")]}
    )

    assert "1m 30s, 95% in 1m 30s" in texts(ok.process_map(ok.EventLog(steps)))


def test_cases_end_at_the_sign_of_their_status():
    steps = log_of("a", "a", "a").steps[["case_id", "activity", "completed"]]
    cases = pd.DataFrame({"case_id": ["c00000", "c00001", "c00002"], "status": ["COMPLETED", "FAILED", "RUNNING"]})

    process_map = ok.process_map(ok.EventLog(steps, cases))

    assert shown(process_map) == {("start", "a"), ("a", "COMPLETED"), ("a", "FAILED"), ("a", "RUNNING")}
    assert {"completed", "failed", "still open"} <= set(texts(process_map))


def test_failed_attempts_have_a_sign_and_a_number():
    log = log_of("aa", "aa", status=["FAILED", "COMPLETED", "FAILED", "COMPLETED"])

    process_map = ok.process_map(log)

    assert process_map.activities["failed"].tolist() == [2]
    assert "2 times it failed" in process_map.to_svg()


def test_a_wider_line_is_taken_more_often_and_a_slower_one_has_another_paint():
    log = log_of(*["ab"] * 9, "ac")
    steps = log.steps[["case_id", "activity", "completed"]]
    slow = steps.assign(completed=steps["completed"] + pd.to_timedelta(9 * (steps["activity"] == "c"), unit="D"))

    svg = parsed(ok.process_map(ok.EventLog(slow), min_share=0))

    ways = {
        way.findtext(f"{SVG}title").split("\n")[0]: way.find(f"{SVG}path")
        for way in svg.iter(f"{SVG}g")
        if way.get("class") == "way"
    }
    assert float(ways["a → b"].get("stroke-width")) > 3 * float(ways["a → c"].get("stroke-width"))
    assert (ways["a → b"].get("class"), ways["a → c"].get("class")) == ("s-pace-0", "s-pace-3")


# What it leaves out.


def test_rare_flows_are_left_out_and_counted():
    log = log_of(*["abc"] * 99, "acbc")

    process_map = ok.process_map(log, min_share=0.05)

    assert shown(process_map) == {("start", "a"), ("a", "b"), ("b", "c"), ("c", "COMPLETED")}
    assert "2 flows of less than 5% of the cases left out" in texts(process_map)
    assert shown(dataclasses.replace(process_map, min_share=0.0)) > {("a", "c"), ("c", "b")}


def test_a_rare_activity_stays_with_its_most_frequent_way_in_and_out():
    log = log_of(*["abc"] * 90, *["abxc"] * 3, *["axc"] * 2)

    process_map = ok.process_map(log, min_share=0.5)

    assert shown(process_map) == {("start", "a"), ("a", "b"), ("b", "c"), ("b", "x"), ("x", "c"), ("c", "COMPLETED")}


@settings(max_examples=20)
@given(
    ways=st.lists(st.text("abcdefg", min_size=1, max_size=8), min_size=1, max_size=30),
    min_share=st.floats(0, 1),
    max_nodes=st.integers(1, 8),
)
def test_every_activity_keeps_a_way_from_the_start_and_to_an_end(ways, min_share, max_nodes):
    process_map = ok.process_map(log_of(*ways), min_share=min_share, max_nodes=max_nodes)

    assert unreached(process_map) == set()


@settings(max_examples=20)
@given(ways=st.lists(st.text("abcde", min_size=1, max_size=8), min_size=1, max_size=20))
def test_with_nothing_left_out_as_much_leaves_each_activity_as_reaches_it(ways):
    graph = ok.process_map(log_of(*ways), min_share=0).graph

    for stop in graph.stops:
        if stop.kind is StopKind.ACTIVITY:
            assert sum(way.count for way in graph.ways if way.target == stop.key) == stop.count
            assert sum(way.count for way in graph.ways if way.source == stop.key) == stop.count


def test_the_rarest_of_many_activities_are_one_box():
    ways = [[f"step {number}"] * (40 - number) for number in range(40)]

    process_map = ok.process_map(log_of(*ways), max_nodes=10)

    names = [stop.name for stop in process_map.graph.stops if stop.kind in {StopKind.ACTIVITY, StopKind.MORE}]
    assert names == [*(f"step {number}" for number in range(9)), "31 more activities"]


def test_a_ball_of_wool_is_drawn_in_time():
    generator = np.random.default_rng(7)
    names = [f"activity {number}" for number in range(500)]
    ways = [[names[place] for place in generator.integers(0, 500, 40)] for _ in range(300)]
    log = log_of(*ways)

    before = time.perf_counter()
    process_map = ok.process_map(log, min_share=0)

    assert len(process_map.graph.ways) == 200
    assert process_map.to_svg().startswith("<svg")
    assert time.perf_counter() - before < 15


# Odd logs.


def test_a_log_without_steps_has_an_empty_map():
    log = ok.EventLog(pd.DataFrame({"case_id": [], "activity": [], "completed": []}))

    process_map = ok.process_map(log)

    assert process_map.label == "Process map of 0 cases: 0 activities, 0 of 0 flows"
    assert parsed(process_map).get("aria-label") == process_map.label


@pytest.mark.parametrize("direction", ["TB", "LR"])
def test_text_from_data_runs_nothing_and_takes_no_more_room(direction):
    hostile = [
        "<img src=x onerror=alert(1)>",
        "</title></svg><script>alert(1)</script>",
        "\u202egnp.exe",
        "\N{ARABIC LETTER ALEF}\u200f check",
        'a\\nb\\N {rank=same} " -> x',
        "javascript:alert(1)",
        "x" * 10_000,
        " ".join(["word"] * 2_500),
        "\x00\x1b[31m",
    ]
    process_map = ok.process_map(log_of(hostile), direction=direction)

    svg = parsed(process_map)
    plain = log_of(["a" * 40], [f"{'b' * 40}{number}" for number in range(9)])
    width = float(parsed(ok.process_map(plain, direction=direction)).get("width"))
    assert {element.tag.removeprefix(SVG) for element in svg.iter()} <= {
        "svg", "title", "style", "g", "rect", "path", "circle", "polygon", "text",
    }  # fmt: skip
    assert all(not name.startswith("on") and name != "href" for element in svg.iter() for name in element.attrib)
    assert "\u202e" not in process_map.to_svg()
    assert "\u202e" not in process_map.text
    assert float(svg.get("width")) < 2 * width
    assert max(len(text) for text in texts(process_map)) < 120
    assert max(len(title.text) for title in svg.iter(f"{SVG}title")) < 1_000
    for mime in ("text/html", "image/svg+xml"):
        bundle = process_map._repr_mimebundle_()
        assert "<script" not in bundle[mime]
        assert bundle[mime].count("<img") == bundle[mime].count('<img class="orchkit-flat"')


def test_what_is_no_log_is_refused_with_the_verb_that_takes_it():
    with pytest.raises(RenderError, match="not 'Workflow'. A workflow is drawn by draw."):
        ok.process_map(ok.workflow("w", ok.task("a")))
    with pytest.raises(RenderError, match="An event log is drawn by process_map."):
        ok.draw(log_of("a"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_share": 5}, "min_share is a share of the cases, from 0 to 1, not 5."),
        ({"direction": "up"}, "direction is 'LR' (from left to right) or 'TB' (from top to bottom), not 'up'."),
        ({"max_nodes": 0}, "max_nodes is at least 1, not 0."),
    ],
)
def test_an_impossible_option_is_refused(options, message):
    with pytest.raises(RenderError) as caught:
        ok.process_map(log_of("a"), **options)
    assert str(caught.value) == message


def test_a_map_that_takes_too_long_shows_itself_as_text():
    bundle = ok.process_map(log_of("abc"), time_limit="1ms")._repr_mimebundle_()

    assert "image/png" not in bundle
    assert "give process_map a larger min_share or a smaller max_nodes" in bundle["text/html"]
    assert "a: 1 time in 1 case" in bundle["text/plain"]
