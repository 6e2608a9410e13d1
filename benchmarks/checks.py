"""Time of ``soundness`` and of the whole of ``check``, beside pm4py's check of soundness (woflan) on the same nets.

Processor time of one core, so that what else the machine does is left out.

``python benchmarks/checks.py [--peer PYTHON]`` prints medians and ratios. ``--peer`` is the interpreter of an
environment in which pm4py is installed (it must not share ours: its license is not ours); without it, the peer is left
out.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

REPEATS = 15
PEER_LIMIT_S = 30  # of processor time
PATIENCE_S = 5  # what takes longer is measured once
# Milliseconds on one core, for the whole of soundness.
TARGETS_MS = {"AND of 10": 10.0, "AND of 20": 1_000.0, "chain of 1,000": 60.0}


@dataclass(frozen=True)
class Row:
    """Median milliseconds."""

    name: str
    soundness: float
    check: float
    peer: float | None = None


def median_ms(verb: Callable[[], object], repeats: int = REPEATS) -> float:
    """Return the median of the milliseconds that a call takes."""
    times = []
    for _ in range(repeats):
        begun = time.process_time()
        verb()
        times.append(time.process_time() - begun)
        if times[0] > PATIENCE_S:
            break
    return 1_000 * statistics.median(times)


# Nets ----------------------------------------------------------------------------

Edges = list[tuple[str, str]]


def and_of(width: int) -> tuple[list[str], Edges]:
    """Return a parallel block: names that end in ``+`` are parallel gateways, in ``?`` exclusive ones."""
    tasks = [f"t{number}" for number in range(width)]
    edges = [("start", "s+"), *(("s+", task) for task in tasks), *((task, "j+") for task in tasks), ("j+", "end")]
    return ["start", "s+", *tasks, "j+", "end"], edges


def chain(length: int) -> tuple[list[str], Edges]:
    """Return tasks in a row."""
    names = ["start", *(f"t{number}" for number in range(length)), "end"]
    return names, list(pairwise(names))


def crossed(pieces: int, *, side_by_side: bool) -> tuple[list[str], Edges]:
    """Return pieces that are not blocks: two parallel splits behind a choice, whose branches cross over."""
    names, edges, last = ["start"], [], "start"
    if side_by_side:
        names += ["s+", "j+"]
        edges += [("start", "s+"), ("j+", "end")]
    ways = ["s? p+", "p+ a m?", "p+ b n?", "s? q+", "q+ c m?", "q+ d n?", "m? k+", "n? k+"]
    for piece in range(pieces):
        inside = [[f"{name[:1]}{piece}{name[1:]}" for name in way.split()] for way in ways]
        names += dict.fromkeys(name for way in inside for name in way)
        edges += [pair for way in inside for pair in pairwise(way)]
        first, end = f"s{piece}?", f"k{piece}+"
        edges += [("s+", first), (end, "j+")] if side_by_side else [(last, first)]
        last = end
    if not side_by_side:
        edges.append((last, "end"))
    return [*names, "end"], edges


NETS = {
    "AND of 8": and_of(8),
    "AND of 10": and_of(10),
    "AND of 20": and_of(20),
    "chain of 1,000": chain(1_000),
    "not of blocks, 4 in a row": crossed(4, side_by_side=False),
    "not of blocks, 3 at once": crossed(3, side_by_side=True),
}


def workflow_of(names: list[str], edges: Edges) -> Any:  # noqa: ANN401 -- a Workflow; orchkit is not there in the peer
    """Return the workflow."""
    from orchkit.model import End, Flow, Gateway, GatewayKind, Start, Task, Workflow  # noqa: PLC0415

    def node(name: str) -> Any:  # noqa: ANN401
        if name in ("start", "end"):
            return Start(name=name) if name == "start" else End(name=name)
        kinds = {"+": GatewayKind.PARALLEL, "?": GatewayKind.EXCLUSIVE}
        return Gateway(name=name, kind=kinds[name[-1]]) if name[-1] in kinds else Task(name=name)

    return Workflow("benchmark", tuple(map(node, names)), tuple(Flow(*edge) for edge in edges))


# The peer ------------------------------------------------------------------------


def net_of(names: list[str], edges: Edges) -> Any:  # noqa: ANN401 -- pm4py's
    """Return the Petri net: a place for each flow, a transition for each task and for each way through a gateway."""
    from pm4py.objects.petri_net.obj import Marking, PetriNet  # noqa: PLC0415
    from pm4py.objects.petri_net.utils.petri_utils import add_arc_from_to  # noqa: PLC0415

    net = PetriNet("benchmark")
    places = [PetriNet.Place(f"{source} -> {target}") for source, target in edges]
    net.places.update(places)

    def transition(label: str, sources: list[Any], targets: list[Any]) -> None:
        one = PetriNet.Transition(f"{label} {len(net.transitions)}", label)
        net.transitions.add(one)
        for place in sources:
            add_arc_from_to(place, one, net)
        for place in targets:
            add_arc_from_to(one, place, net)

    ends = {}
    for name in names:
        sources = [place for place, (_, target) in zip(places, edges, strict=True) if target == name]
        targets = [place for place, (source, _) in zip(places, edges, strict=True) if source == name]
        if name in ("start", "end"):
            ends[name] = (sources or targets)[0]
        elif name.endswith("?"):
            for source in sources:
                for target in targets:
                    transition(name, [source], [target])
        else:
            transition(name, sources, targets)
    return net, Marking({ends["start"]: 1}), Marking({ends["end"]: 1})


def be_the_peer(name: str) -> None:
    """Print the milliseconds that pm4py takes for one of the nets, as JSON."""
    resource.setrlimit(resource.RLIMIT_CPU, (PEER_LIMIT_S, PEER_LIMIT_S))
    import pm4py  # noqa: PLC0415

    made = net_of(*NETS[name])
    answers = []
    took = median_ms(lambda: answers.append(pm4py.check_soundness(*made)), 3)
    sound = answers[0][0] if isinstance(answers[0], tuple) else answers[0]
    print(json.dumps({"ms": took, "sound": bool(sound)}))


def ask_the_peer(python: str, name: str) -> float | None:
    """Return the milliseconds that the peer takes; infinite where it does not answer in time."""
    done = subprocess.run([python, __file__, "--as-peer", name], capture_output=True, text=True, check=False)
    if done.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return float("inf")
    if done.returncode:
        print(f"  peer: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return None
    answer = json.loads(done.stdout.strip().splitlines()[-1])
    if not answer["sound"]:
        print(f"  peer: {name} is not sound, it says", file=sys.stderr)
    return float(answer["ms"])


# Both ----------------------------------------------------------------------------


def measure(name: str, peer: str | None) -> Row:
    """Return the figures of one net."""
    from orchkit.checks import check, soundness  # noqa: PLC0415
    from orchkit.tokens import net_of as index_of  # noqa: PLC0415

    made = workflow_of(*NETS[name])

    def fresh(verb: Callable[[Any], object]) -> Callable[[], object]:
        def run() -> None:
            index_of.cache_clear()  # the index of the graph is part of the work
            verb(made)

        return run

    assert soundness(made)
    check(made)  # what is imported on first use is not measured
    return Row(
        name,
        median_ms(fresh(soundness)),
        median_ms(fresh(check)),
        None if peer is None else ask_the_peer(peer, name),
    )


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", help="interpreter with pm4py")
    parser.add_argument("--as-peer", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.as_peer:
        be_the_peer(arguments.as_peer)
        return
    head = f"median of {REPEATS}, ms"
    print(f"{head:28}{'soundness':>11}{'target':>9}{'check':>9}{'pm4py':>12}{'ratio':>12}")
    for name in NETS:
        row = measure(name, arguments.peer)
        target = TARGETS_MS.get(name)
        wanted = "" if target is None else f"{target:,.0f}"
        peer, ratio = "skipped", ""
        if row.peer == float("inf"):
            peer, ratio = f"> {PEER_LIMIT_S:,} s", f"> {PEER_LIMIT_S * 1_000 / row.soundness:,.0f}"
        elif row.peer is not None:
            peer, ratio = f"{row.peer:,.1f}", f"{row.peer / row.soundness:,.0f}"
        print(f"{name:28}{row.soundness:>11.2f}{wanted:>9}{row.check:>9.2f}{peer:>12}{ratio:>12}")


if __name__ == "__main__":
    main()
