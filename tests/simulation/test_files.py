from __future__ import annotations

import pytest

import orchkit as ok


def test_scenario_reads_back_as_it_was_written(tmp_path):
    scenario = ok.Scenario(
        arrivals=ok.lognormal("12 min", "5 min"),
        durations={
            "check": ok.by_attribute("country", {"US": ok.normal(60, 10)}, otherwise=ok.pert(1, 2, 9)),
            "ship": ok.by_resource({"Ann": "5 min"}, otherwise=ok.empirical([1, 2, 3])),
            "pack": ok.erlang(3, "10 min"),
        },
        attributes={"country": ok.categorical({"US": 0.6, "DE": 0.4}), "weight": ok.constant(5), "items": 3},
        resources={
            "clerk": ok.Resource(
                members={"Ann": None, "Bob": ok.office_hours("Europe/Berlin")},
                calendar=ok.Calendar({"mon-fri": ["09:00-12:00", "13:00-17:00"]}, holidays=("2025-12-25",)),
                discipline="priority",
                cost_per_hour=40,
            ),
            "packer": 2,
        },
        branching={"route": {"ship": 0.9, "pack": 0.1}},
        failures={"ship": (ok.Failure(0.1), ok.Failure(0.05, "permanent", "404", ok.constant(2)))},
        waits={"paid": ok.Response(ok.exponential("1 d"), never=0.1)},
        loops={"lines": 3, "again": ok.Loop(repeat=0.2)},
        priorities={"ship": ok.by_attribute("country", {"US": 2}, otherwise=-1), "pack": -3},
        sla="2 days",
    )

    text = ok.write_scenario(scenario, tmp_path / "today.yaml")
    again = ok.read_scenario(tmp_path / "today.yaml")

    assert again == scenario
    assert ok.write_scenario(again) == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("arrivals: {exponentail: 5 min}\n", "1: arrivals: there is no distribution 'exponentail'."),
        ("arrivals: 5 min\nresource: {clerk: 2}\n", "a scenario has no 'resource'. Did you mean 'resources'?"),
        ("durations:\n  check: 1 min\n  ship: -3\n", "3: durations: ship: -3 is not a duration"),
        (
            "durations:\n  a: {by_attribute: {of: x, parts: {1: -3}}}\n",
            "2: durations: a: 1: -3 is not a duration",
        ),
        ("resources:\n  clerk: {cuont: 2}\n", "2: resources: clerk: there is no 'cuont'. Did you mean 'count'?"),
    ],
)
def test_fault_in_a_file_is_named_with_its_line(text, says):
    with pytest.raises(ok.ScenarioError) as error:
        ok.read_scenario(text)

    assert says in str(error.value)


def test_what_is_shown_is_what_one_writes():
    office = ok.Calendar({"mon-fri": "09:00-17:00"}, timezone="Europe/Berlin")
    durations = ok.by_attribute(
        "kind", {"a": ok.normal(5, 1), 2: ok.triangular(1, 2, 9)}, otherwise=ok.empirical([1, 2])
    )
    today = ok.Scenario(
        ok.exponential(720),
        {"check": durations},
        {"clerk": ok.Resource(2, calendar=office, discipline="priority")},
        failures={"check": ok.Failure(0.05, "permanent", after=ok.erlang(3, 60))},
        attributes={"kind": ok.categorical({"a": 0.5, 2: 0.5})},
        loops={"lines": ok.uniform(1, 5)},
    )

    assert eval(repr(today), {name: getattr(ok, name) for name in ok.__all__}) == today
    assert repr(ok.ArrivalTimes(range(20))) == "ArrivalTimes(after_s=[0.0, 1.0, 2.0, … 20 in all])"
