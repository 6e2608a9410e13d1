"""Random workflows: the same draws through the machine in virtual time and through the kernel give the same trace."""

from __future__ import annotations

from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orchkit as ok
from orchkit.model import End, Flow, Gateway, GatewayKind, Start
from orchkit.simulation.kernel import layout as at
from orchkit.simulation.kernel.draws import mix
from orchkit.simulation.lowering import lower
from tests.simulation.reference import World
from tests.simulation.test_agreement import kernel_trace, scenario_for

RETRIES = st.builds(
    ok.Retry,
    max_attempts=st.integers(1, 3),
    initial_delay=st.sampled_from((0.0, 0.7, 3.1)),
    max_delay=st.just(10.0),
    multiplier=st.sampled_from((1.0, 2.0)),
    jitter=st.sampled_from((0.0, 0.25)),
)
SHORT = st.none() | st.sampled_from((0.9, 1.7, 2.6))
LONG = st.none() | st.sampled_from((2.3, 5.3, 11.7))


def steps(draw, names, depth, least=0):
    return [block(draw, names, depth) for _ in range(draw(st.integers(least, 3)))]


def task(draw, names, depth, name=None):
    more = {"timeout": draw(SHORT), "deadline": draw(LONG)}
    if draw(st.booleans()):
        more["retry"] = draw(RETRIES)
    undo = draw(st.sampled_from((None, None, "none", "task")))
    more["compensate"] = ok.task(next(names), retry=draw(RETRIES)) if undo == "task" else undo
    if depth:
        match draw(st.sampled_from(("", "", "fallback", "on_error", "on_timeout"))):
            case "fallback":
                more["fallback"] = 0
            case "":
                pass
            case path:
                more[path] = steps(draw, names, depth - 1)
    return ok.task(name or next(names), **{key: value for key, value in more.items() if value is not None})


def block(draw, names, depth):
    kinds = ["task", "task", "task", "wait", "timer"]
    kinds += ["choice", "parallel", "for_each", "saga", "saga", "scope", "call", "race", *SHAPES] if depth else []
    match draw(st.sampled_from(kinds)):
        case "task":
            return task(draw, names, depth)
        case "wait":
            name = next(names)
            late = {"timeout": draw(LONG)}
            if depth and draw(st.booleans()):
                late["on_timeout"] = steps(draw, names, depth - 1)
            return ok.wait_for(callback=name, name=name, **late)
        case "timer":
            return ok.wait_for(timer=draw(st.sampled_from((0.4, 2.2))), name=next(names))
        case "choice":
            branches = [ok.when("x", steps(draw, names, depth - 1)) for _ in range(draw(st.integers(1, 2)))]
            return ok.choice(*branches, ok.otherwise(steps(draw, names, depth - 1)), name=next(names))
        case "parallel":
            branches = [steps(draw, names, depth - 1, 1) for _ in range(draw(st.integers(2, 3)))]
            return ok.parallel(*branches, name=next(names))
        case "for_each":
            more = {"concurrency": draw(st.integers(1, 3)), "tolerated_failures": draw(st.sampled_from((0, 1, "50%")))}
            return ok.for_each("items", steps(draw, names, depth - 1, 1), name=next(names), **more)
        case "call":
            called = ok.workflow(next(names), steps(draw, names, depth - 1, 1), retry=draw(RETRIES))
            return ok.call(called, name=next(names))
        case shape if shape in SHAPES:
            return graph(draw, names, [], SHAPES[shape])
        case "race":
            return graph(draw, names, *race(draw, names))
        case "saga":
            return ok.saga(steps(draw, names, depth - 1, 1), name=next(names))
        case _:
            return ok.scope(steps(draw, names, depth - 1, 1), name=next(names), timeout=draw(LONG))


# Free graphs, each a scope. "in" and "out" are its start and end; other words are gateways, and "t1" … its tasks.


def race(draw, names):
    """Whichever of some waits comes first, and what follows from it."""
    called = [next(names) for _ in range(draw(st.integers(1, 2)))]
    waits = [ok.wait_for(callback="c", name=name) for name in called]
    called.append(next(names))
    waits.append(ok.wait_for(timer=draw(st.sampled_from((0.4, 2.2, 5.1))), name=called[-1]))
    flows = ["in event", *(f"event {name}" for name in called), "exclusive out"]
    flows += [f"{name} t{number}" for number, name in enumerate(called)]
    return waits, flows + [f"t{number} exclusive" for number in range(len(waits))]


SHAPES = {
    # A step that may be done again, with a jump back.
    "rework": ["in exclusive", "exclusive t1", "t1 exclusive_2", "exclusive_2 t2 x", "t2 exclusive", "exclusive_2 out"],
    # Some of several ways, and all that were taken are waited for.
    "some": ["in inclusive", "inclusive t1 x", "inclusive t2 y", "inclusive t3", "inclusive_2 out"]
    + [f"t{number} inclusive_2" for number in (1, 2, 3)],
    # Whoever is first ends the scope, and the others with it.
    "cut_off": [
        "in parallel",
        "parallel t1",
        "parallel t2",
        "parallel t3",
        "t1 terminate",
        "t2 out",
        "t3 t4",
        "t4 out",
    ],
    # Two tokens that are not joined, so that a step is done for each.
    "twice": ["in parallel", "parallel t1", "parallel t2", "t1 exclusive", "t2 exclusive", "exclusive t3", "t3 out"],
}
KINDS = {"in": Start, "out": End}


def graph(draw, names, waits, shape):
    nodes, words = list(waits), {}
    for word in dict.fromkeys(word for flow in shape for word in flow.split()[:2]):
        kind, name = word.split("_")[0], next(names)
        if word in KINDS:
            node = KINDS[word](name=name)
        elif word == "terminate":
            node = End(name=name, terminate=True)
        elif kind in list(GatewayKind):
            node = Gateway(name=name, kind=GatewayKind(kind))
        elif kind[0] == "t":
            node = task(draw, names, 0, name)
        else:
            continue  # a wait, which is there
        words[word] = name
        nodes.append(node)
    flows = []
    for one in shape:
        source, target, *condition = one.split()
        flows.append(Flow(words.get(source, source), words.get(target, target), *condition))
    return ok.scope(name=next(names), nodes=nodes, flows=flows, timeout=draw(LONG))


@st.composite
def workflows(draw, depth=2):
    names = (f"n{number}" for number in count())
    blocks = steps(draw, names, depth, 1)
    # The machine does not say in which visit of a loop it asks whether to go on: such a loop is begun once.
    for _ in range(draw(st.sampled_from((0, 0, 1, 2)))):
        blocks.append(ok.repeat_while("again", steps(draw, names, depth - 1, 1), name=next(names)))
    return ok.workflow("random", blocks, retry=draw(RETRIES))


def agree(workflow, seed, fails):
    scenario = scenario_for(workflow, fails)
    lowered = lower(workflow, scenario)
    key = mix(seed + 0x5851F42D4C957F)
    expected = World(workflow, scenario, lowered, key, int(lowered.program[at.P_START])).play()

    assert kernel_trace(lowered, seed) == expected


@settings(max_examples=60)
@given(workflows(), st.integers(1, 2**31), st.sampled_from((0.0, 0.2, 0.5)))
def test_kernel_does_what_the_machine_does_with_any_workflow(workflow, seed, fails):
    agree(workflow, seed, fails)


@pytest.mark.slow
@settings(max_examples=1_500)
@given(workflows(3), st.integers(1, 2**31), st.sampled_from((0.1, 0.3, 0.6)))
def test_kernel_does_what_the_machine_does_with_large_workflows(workflow, seed, fails):
    agree(workflow, seed, fails)


@settings(max_examples=25)
@given(workflows(), st.integers(1, 99), st.sampled_from((0.0, 0.3)))
def test_every_case_that_arrives_ends_or_is_in_flight(workflow, seed, fails):
    scenario = scenario_for(workflow, fails)
    busy = ok.Scenario(
        ok.exponential(2),
        scenario.durations,
        branching=scenario.branching,
        failures=scenario.failures,
        waits=scenario.waits,
        loops=scenario.loops,
    )

    whole = ok.simulate(workflow, busy, cases=20, seed=seed, progress=False)
    part = ok.simulate(workflow, busy, until=15, seed=seed, progress=False)

    assert len(whole) == 20
    assert not whole.cases["completed"].isna().any()
    assert not whole.cases["status"].isin(["RUNNING", "WAITING", "PENDING"]).any()
    ended = part.cases[part.cases["completed"].notna()]
    assert part.cases["status"][part.cases["completed"].isna()].isin(["RUNNING", "COMPENSATING"]).all()
    # Draws do not depend on when one looks: what has ended by then ends the same way.
    both = ended.set_index("case_id")["status"].to_frame("part").join(whole.cases.set_index("case_id")["status"])
    both = both.dropna()
    assert list(both["part"].astype("str")) == list(both["status"].astype("str"))


def test_two_ways_to_one_target_share_its_probability():
    both_empty = ok.choice(ok.when("x", []), ok.otherwise([]), name="which")
    workflow = ok.workflow("w", [both_empty, ok.task("ship")])
    scenario = ok.Scenario("1 h", {"ship": "1 min"}, branching={"which": {"which_end": 1.0}})

    assert len(ok.simulate(workflow, scenario, cases=10).steps) == 10
