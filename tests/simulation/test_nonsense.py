"""Scenario documents with anything in any place: an error that names the place, or a log, and never a hang."""

from __future__ import annotations

import copy
import json
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orchkit as ok

ORDER = ok.read_workflow(
    """
workflow: order
retry: {max_attempts: 3, initial_delay: 1 min, max_delay: 10 min}
steps:
  - {task: check, role: clerk}
  - choice:
      - when: amount > 100 and country != "US"
        steps: [{task: approve, role: boss}]
      - otherwise: [{task: accept}]
    name: which
  - saga:
      - {task: book, compensate: {task: unbook}}
      - {task: pay, timeout: 20 min, on_timeout: [{task: remind}]}
    name: trip
  - wait_for: {callback: confirm, timeout: 2 h, on_timeout: [{task: escalate}]}
  - repeat_while: "again"
    name: loop
    steps: [{task: redo, role: clerk}]
  - for_each: lines
    name: each
    steps: [{task: pick, role: clerk}]
  - {task: send, on_error: [{task: fax}]}
"""
)
TASKS = ("check", "approve", "accept", "book", "unbook", "pay", "remind", "escalate", "redo", "pick", "send", "fax")
WEEK = {"mon-fri": "09:00-17:00"}
WHOLE = {
    "arrivals": {"exponential": 60},
    "durations": {
        **dict.fromkeys(TASKS, "5 min"),
        "check": {"triangular": [60, "1 h", "2 h"]},
        "pick": {"by_attribute": {"of": "country", "parts": {"US": 60}, "otherwise": {"gamma": [2, 30]}}},
    },
    "resources": {
        "clerk": {"count": 2, "calendar": {"week": WEEK, "holidays": ["2025-01-06"]}, "discipline": "priority"},
        "boss": {
            "members": {"Ann": {"week": WEEK, "absences": [["2025-01-06", "2025-01-09"]]}, "Bob": None},
            "queue_limit": 3,
            "cost_per_hour": 5,
        },
    },
    "branching": {"which": {"approve": 0.3, "accept": 0.7}},
    "attributes": {"amount": {"lognormal": [9, 8]}, "country": {"categorical": [["US", 0.5], ["DE", 0.5]]}, "lines": 2},
    "failures": {"send": 0.1, "redo": [{"probability": 0.1, "error": "permanent", "after": 5}]},
    "retries": {"send": {"max_attempts": 2, "initial_delay": 60}},
    "waits": {"confirm": {"after": {"exponential": "1 h"}, "never": 0.1, "fails": 0.1}},
    "loops": {"loop": {"repeat": 0.5}, "each": {"items": 2}},
    "delays": {"accept": {"by_previous": {"parts": {"check": {"erlang": [3, 60]}}}}},
    "patience": {"check": {"weibull": [2, 600]}},
    "batches": {"redo": {"size": 2, "max_wait": 60}},
    "setups": {"check": {"uniform": [0, 60]}},
    "priorities": {"check": 3},
    "requires": {"approve": {"boss": 1, "clerk": 1}},
    "start": "2025-01-06T00:00:00+00:00",
    "sla": "3 h",
}  # fmt: skip
ANYTHING = (0, -1, 0.5, 2, 1e6, 1e12, 1e300, "5 min", "-3 min", "x", "", None, True, [], {}, [1], {"a": 1}, 10**30,
    "09:00", {"exponential": 0}, {"gamma": [1e-9, 1]}, {"weibull": [0.001, 1]}, {"lognormal": [1, 1e9]},
    {"empirical": [0]},
    {"column": ["x", None]}, {"by_resource": {"parts": {"zz": 1}}}, {"erlang": [1000, 1]}, {"normal": [0, 0]},
    {"normal": [1, 1, 1e9]}, {"categorical": [["a", 0.5], ["b", 0.6]]}, {"fri-mon": "17:00-09:00"})  # fmt: skip


def places(value, at=()):
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield (*at, key)
        yield from places(part, (*at, key))


PLACES = list(places(WHOLE))


def changed(changes):
    document = copy.deepcopy(WHOLE)
    for place, value, is_key in changes:
        inside = document
        for key in place[:-1]:
            is_there = (
                key in inside if isinstance(inside, dict) else isinstance(inside, list) and key in range(len(inside))
            )
            inside = inside[key] if is_there else {}
        if isinstance(inside, dict) and is_key:
            inside[json.dumps(value)] = inside.pop(place[-1], 1)
        elif isinstance(inside, dict) or (isinstance(inside, list) and place[-1] in range(len(inside))):
            inside[place[-1]] = copy.deepcopy(value)
    return document


def simulated(document):
    scenario = ok.read_scenario(json.dumps(document) + "\n")
    assert ok.read_scenario(ok.write_scenario(scenario)) == scenario
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ok.ScenarioWarning)
        log = ok.simulate(ORDER, scenario, cases=3, until="20 d", progress=False)
    return ok.kpis(log)


CHANGES = st.tuples(st.sampled_from(PLACES), st.sampled_from(ANYTHING), st.sampled_from((False, False, False, True)))


def fault_of(document):
    """Return what a document is refused for; nothing where it is simulated."""
    try:
        assert len(simulated(document))
    except ok.ScenarioError as error:
        return str(error)
    return None


def test_the_whole_document_is_simulated():
    assert fault_of(WHOLE) is None


@settings(max_examples=120)
@given(CHANGES)
def test_a_document_with_one_odd_value_is_simulated_or_refused_by_its_name(change):
    fault = fault_of(changed([change]))

    assert fault is None or any(str(part) in fault for part in change[0]), fault


@pytest.mark.slow
@settings(max_examples=3_000)
@given(CHANGES, CHANGES)
def test_a_document_with_two_odd_values_is_simulated_or_refused(change, other):
    assert fault_of(changed([change, other])) != ""


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: ok.Resource(2, calendar="09:00-17:00"), "resource: calendar is an ok.Calendar, or None for always"),
        (lambda: ok.Resource(members=["Ann"]), "resource: members has a calendar"),
        (lambda: ok.Resource(members={"Ann": "09:00-17:00"}), "resource: members: Ann: give an ok.Calendar"),
        (lambda: ok.Resource(queue_limit=1.5), "queue_limit must be a whole number from 0, not 1.5"),
        (lambda: ok.Calendar("09:00-17:00"), "calendar: week has the hours by day"),
        (lambda: ok.Calendar({"mon": 9}), "calendar: mon: hours are text such as '09:00-17:00'"),
        (lambda: ok.Calendar(WEEK, holidays="2025-12-25"), "calendar: holidays is a list of dates"),
        (lambda: ok.Calendar(WEEK, absences=["2025-12-25"]), "calendar: absences are pairs of moments"),
        (lambda: ok.Profile(["x"] * 168), "profile: per_hour is 168 numbers"),
        (lambda: ok.ArrivalTimes(["noon"]), "arrivals: after_s is a list of moments"),
        (lambda: ok.categorical(["US", "DE"]), "categorical: give each value its probability"),
        (lambda: ok.categorical({"US": "most"}), "categorical: US is a number, not 'most'"),
        (lambda: ok.empirical("5 min"), "empirical: give a list of durations"),
        (lambda: ok.by_attribute("country", "1 h"), "by_attribute: give a distribution for each value"),
        (lambda: ok.gamma("2", "5 min"), "gamma: shape is a number, not '2'"),
        (lambda: ok.Scenario(durations="5 min"), "durations: give an entry a name"),
        (lambda: ok.Scenario(branching={"which": "ship"}), "branching: which: give the probability of each target"),
        (lambda: ok.Scenario(requires={"check": 2}), "requires: check: give the roles that are needed at once"),
        (lambda: ok.Scenario(start="monday"), "start: 'monday' is not a time such as"),
    ],
)
def test_what_is_no_scenario_at_all_says_what_it_should_be(make, says):
    with pytest.raises(ok.ScenarioError, match=says):
        make()


def test_a_compensation_has_no_delay_and_says_so():
    with pytest.raises(ok.ScenarioError, match="delays: 'unbook' undoes 'book'"):
        simulated({**WHOLE, "delays": {"unbook": 60}})


def test_a_fault_in_a_file_says_line_and_name():
    with pytest.raises(ok.ScenarioError, match=r"^3: durations: check: uniform: low \(3600\) is above high \(60\)"):
        ok.read_scenario("arrivals: 5 min\ndurations:\n  check: {uniform: [1 h, 1 min]}\n")
    with pytest.raises(ok.ScenarioError, match="durations: check: uniform has no 'hihg'. Did you mean 'high'"):
        ok.read_scenario("durations:\n  check: {uniform: {low: 1 h, hihg: 1 min}}\n")
