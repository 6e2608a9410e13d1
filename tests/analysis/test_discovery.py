from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pandas as pd
import pytest

import orchkit as ok
from orchkit.analysis.cuts import Operator
from orchkit.analysis.trees import Block, Leaf, mine
from orchkit.tokens import exits, net_of, settle_all

DATA = Path(os.environ.get("ORCHKIT_DATA", Path(__file__).parents[3] / "shared" / "data"))


def log_of(traces):
    rows = [
        {"case_id": f"c{number}", "activity": name, "completed": pd.Timestamp(60 * position, unit="s", tz="UTC")}
        for number, trace in enumerate(traces)
        for position, name in enumerate(trace)
    ]
    return ok.EventLog(pd.DataFrame(rows))


def random_tree(rng, names, depth):
    """A block model, as nested tuples."""
    if depth == 0 or rng.random() < 0.25:
        return next(names)
    kind = rng.choice(["sequence", "choice", "parallel", "loop", "optional"])
    size = {"loop": 2, "optional": 1}.get(kind, rng.randint(2, 3))
    return (kind, *(random_tree(rng, names, depth - 1) for _ in range(size)))


def trace_of(tree, rng):
    if isinstance(tree, str):
        return [tree]
    kind, *parts = tree
    match kind:
        case "sequence":
            return [name for part in parts for name in trace_of(part, rng)]
        case "choice":
            return trace_of(rng.choice(parts), rng)
        case "optional":
            return trace_of(parts[0], rng) if rng.random() < 0.5 else []
        case "parallel":
            pieces = [trace_of(part, rng) for part in parts]
            order = [number for number, piece in enumerate(pieces) for _ in piece]
            rng.shuffle(order)
            return [pieces[number].pop(0) for number in order]
        case _:
            body, redo = parts
            trace = trace_of(body, rng)
            while rng.random() < 0.4:
                trace += trace_of(redo, rng) + trace_of(body, rng)
            return trace


def accepts(workflow, trace):
    """Brute force: all markings that a flat workflow can be in after each activity."""
    net = net_of(workflow.nodes, workflow.flows)

    def closed(markings):
        # Timers pass by themselves.
        todo, seen = list(markings), set(markings)
        while todo:
            marking = todo.pop()
            for node in net.open_nodes(marking):
                if isinstance(net.nodes[node], ok.model.Wait):
                    for way in exits(net, node):
                        for settled in settle_all(net, marking & ~net.open_bit(node), way):
                            if settled.marking not in seen:
                                seen.add(settled.marking)
                                todo.append(settled.marking)
        return seen

    now = closed({settled.marking for settled in settle_all(net, 0, None)})
    for name in trace:
        node = net.index.get(name)
        if node is None:
            return False
        bit = net.open_bit(node)
        now = closed(
            {
                settled.marking
                for marking in now
                if marking & bit
                for way in exits(net, node)
                for settled in settle_all(net, marking & ~bit, way)
            }
        )
    return 0 in now


@pytest.mark.parametrize("seed", range(30))
def test_a_model_replays_every_trace_of_the_log_it_comes_from_and_is_sound(seed):
    rng = random.Random(seed)
    tree = random_tree(rng, (f"t{number}" for number in range(99)), 3)
    traces = [trace for trace in (trace_of(tree, rng) for _ in range(40)) if trace and len(trace) < 25]
    if not traces:
        traces = [["t0"]]

    workflow = ok.discover(log_of(traces))

    assert all(accepts(workflow, trace) for trace in traces)
    assert str(ok.soundness(workflow)) == "sound"


def test_any_traces_at_all_are_replayed_and_the_model_is_sound():
    for seed in range(25):
        rng = random.Random(seed)
        traces = [[rng.choice("abcde") for _ in range(rng.randint(1, 6))] for _ in range(8)]

        workflow = ok.discover(log_of(traces))

        assert all(accepts(workflow, trace) for trace in traces), traces
        assert str(ok.soundness(workflow)) == "sound", traces


def test_noise_leaves_a_sound_model():
    for seed in range(20):
        rng = random.Random(seed)
        traces = [[rng.choice("abcde") for _ in range(rng.randint(1, 6))] for _ in range(20)]

        assert str(ok.soundness(ok.discover(log_of(traces), noise=0.3))) == "sound", traces


def test_a_sequence_a_choice_a_parallel_and_a_loop_are_told_apart():
    assert mine({(0, 1): 2}) == Block(Operator.SEQUENCE, (Leaf(0, 2), Leaf(1, 2)), 2)
    assert mine({(0,): 2, (1,): 3}) == Block(Operator.CHOICE, (Leaf(0, 2), Leaf(1, 3)), 5)
    assert mine({(0, 1): 1, (1, 0): 1}) == Block(Operator.PARALLEL, (Leaf(0, 2), Leaf(1, 2)), 2)
    assert mine({(0, 1, 0): 1, (0,): 1}) == Block(Operator.LOOP, (Leaf(0, 3), Leaf(1, 1)), 2)


def test_what_is_rare_is_left_out_with_noise():
    traces = [["a", "b", "c"]] * 97 + [["c", "a"]] * 2 + [["b", "a"]]

    assert [flow.target for flow in ok.discover(log_of(traces), noise=0.2).flows] == ["a", "b", "c", "end"]
    assert len(ok.discover(log_of(traces)).flows) > 4


def test_an_attempt_that_a_later_one_replaced_counts_once():
    rows = pd.DataFrame(
        {
            "case_id": ["o1"] * 3,
            "activity": ["pay", "pay", "ship"],
            "completed": ["2024-05-06T09:00Z", "2024-05-06T10:00Z", "2024-05-06T11:00Z"],
            "status": ["FAILED", "COMPLETED", "COMPLETED"],
            "attempt": [1, 2, 1],
        }
    )

    assert [flow.target for flow in ok.discover(ok.EventLog(rows)).flows] == ["pay", "ship", "end"]


def test_gateways_take_no_name_of_an_activity():
    workflow = ok.discover(log_of([["start", "choice_1"], ["start", "end"]]))

    assert [node.name for node in workflow.nodes] == [
        "start_",
        "start",
        "choice_1_",
        "choice_1",
        "end",
        "choice_1__end",
        "end_",
    ]


def test_a_log_without_steps_and_a_noise_that_is_no_share_are_refused():
    log = log_of([["a"]])

    with pytest.raises(ok.LogError, match="noise is a share from 0 to 1, not 20"):
        ok.discover(log, noise=20)
    with pytest.raises(ok.LogError, match="nothing to discover"):
        ok.discover(ok.EventLog(log.steps.assign(status="SKIPPED")))


def test_thousands_of_activities_are_discovered_in_seconds():
    rng = random.Random(1)
    sequence = [[f"a{number}" for number in range(10_000)]]
    choice = [[f"a{number}"] for number in range(2_000)]
    shuffled = [rng.sample([f"a{number}" for number in range(400)], 400) for _ in range(4)]
    began = time.process_time()

    sizes = [len(ok.discover(log_of(traces)).nodes) for traces in (sequence, choice, shuffled)]

    assert sizes == [10_002, 2_004, 404]
    assert time.process_time() - began < 30


def test_a_loop_of_one_step_and_a_step_that_is_optional_are_told():
    assert len(ok.discover(log_of([["a", "b", "b", "b", "c"], ["a", "b", "c"]])).nodes) == 7
    optional = ok.discover(log_of([["a", "c"], ["a", "b", "c"]]))
    assert optional.node("choice_1").description == "Of 2: b 1, nothing 1."


@pytest.mark.slow
def test_bpic2012_gives_a_sound_model_within_five_seconds():
    path = DATA / "bpic2012.xes.gz"
    if not path.exists():
        pytest.skip("bpic2012.xes.gz is not there: set ORCHKIT_DATA")
    log = ok.read_log(path, lifecycle="keep")

    began = time.perf_counter()
    workflow = ok.discover(log, noise=0.2)
    taken_s = time.perf_counter() - began

    assert taken_s < 5
    assert str(ok.soundness(workflow)) == "sound"
