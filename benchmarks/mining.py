"""Mining beside pm4py, lxml and r4pm: the same figures of the same log, and the processor time that each takes.

``python benchmarks/mining.py LOG.xes.gz --peer PYTHON`` names an interpreter that has them; without it only
orchkit is measured. ``--times 10`` takes the log that often, under new case identifiers. Both are measured in turn, a
verb at a time, in processes of their own that hold the log; each figure is the median of ``--rounds``. Every answer is
compared: pair by pair, variant by variant, case by case.

``--scale`` measures orchkit alone instead, on the log 10, 40 and 100 times (2.6, 10.5 and 26 million events of BPI
Challenge 2012), each in a process of its own: seconds for the layout and the first call of each verb, and the memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

import orchkit as ok

_PEER = """
import gzip, json, sys, time, warnings
warnings.filterwarnings("ignore")
import pandas as pd, pm4py, r4pm
from lxml import etree
path, times = sys.argv[1], int(sys.argv[2])

def rows():
    found = []
    with gzip.open(path) if path.endswith(".gz") else open(path, "rb") as file:
        for _, trace in etree.iterparse(file, tag="{*}trace"):
            own = {a.get("key"): a.get("value") for a in trace if a.get("key")}
            for event in trace.iterfind("{*}event"):
                row = {a.get("key"): a.get("value") for a in event}
                row["case:concept:name"] = own.get("concept:name")
                found.append(row)
            trace.clear()
    frame = pd.DataFrame(found)
    frame["time:timestamp"] = pd.to_datetime(frame["time:timestamp"], utc=True, format="ISO8601")
    return len(frame)

def flows():
    counts, spans = pm4py.discover_dfg(frame)[0], pm4py.discover_performance_dfg(frame)[0]
    return [[*pair, int(n), float(spans[pair]["mean"]), float(spans[pair]["median"])] for pair, n in counts.items()]

one = frame = None
verbs = {
    "lxml": rows,
    "r4pm": lambda: r4pm.df.import_xes(path)[0].height,
    "load": lambda: pm4py.read_xes(path),
    "flows": flows,
    "times only": lambda: len(pm4py.discover_performance_dfg(frame)[0]),
    "variants": lambda: [[list(way), int(n)] for way, n in pm4py.get_variants(frame).items()],
    "durations": lambda: [float(s) for s in pm4py.get_all_case_durations(frame)],
    "rework": lambda: pm4py.get_rework_cases_per_activity(frame),
    "starts": lambda: pm4py.get_start_activities(frame),
    "ends": lambda: pm4py.get_end_activities(frame),
}
for line in sys.stdin:
    name = line.strip()
    began = time.process_time()
    answer = verbs[name]()
    spent = time.process_time() - began
    if name == "load":
        one, answer = answer, len(answer)
        frame = pd.concat([one.assign(**{"case:concept:name": one["case:concept:name"].astype(str) + f"-{n}"})
                           for n in range(times)], ignore_index=True)
        frame = pm4py.format_dataframe(frame)
    print("ANSWER" + json.dumps([spent, answer]), flush=True)
"""


class Peer:
    """The process that has pm4py; it answers a verb at a time."""

    def __init__(self, python: str, path: str, times: int) -> None:
        command = [python, "-c", _PEER, path, str(times)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def ask(self, verb: str) -> tuple[float, Any]:
        """Return the processor time of a verb, and its answer."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(verb + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("ANSWER"):
                spent, answer = json.loads(line.removeprefix("ANSWER"))
                return spent, answer
        message = f"the peer ended at {verb!r}; has its interpreter pm4py, lxml and r4pm[polars]?"
        raise SystemExit(message)


def timed(verb: Callable[[], Any]) -> tuple[float, Any]:
    """Return the processor time that a verb takes, and its result."""
    began = time.process_time()
    result = verb()
    return time.process_time() - began, result


def in_turn(name: str, verb: Callable[[], Any], peer: Peer | None, asked: str, rounds: int) -> tuple[Any, Any]:
    """Measure a verb and the peer's in turn, print a line, and return both answers."""
    own, other, result, answer = [], [], None, None
    for _ in range(rounds):
        spent, result = timed(verb)
        own.append(spent)
        if peer:
            spent, answer = peer.ask(asked)
            other.append(spent)
    seconds = statistics.median(own)
    first = f" (the first call {own[0]:.3f} s)" if own[0] > 2 * seconds else ""
    line = f"{name:<28}{seconds:>9.4f} s{first}"
    if peer:
        line += f"   {asked}: {statistics.median(other):>8.3f} s   {statistics.median(other) / seconds:>6.1f} times"
    print(line, flush=True)
    return result, answer


def tenfold(one: ok.EventLog, times: int) -> pd.DataFrame:
    """Return the steps of a log several times, under new case identifiers."""
    names = one.steps[["case_id", "activity", "completed", "resource"]]
    texts = names["case_id"].astype("str")
    return pd.concat([names.assign(case_id=texts + f"-{n}") for n in range(times)], ignore_index=True)


def scale(path: str) -> None:
    """Print a line a verb: its processor seconds for each size, and how they grow from the first to the last."""
    sizes = (10, 40, 100)
    command = [sys.executable, __file__, path, "--scale-of"]
    found = [
        json.loads(subprocess.run([*command, str(times)], check=True, capture_output=True, text=True).stdout)
        for times in sizes
    ]
    growth = found[-1]["events"] / found[0]["events"]
    print(
        f"{'':<28}" + "".join(f"{one['events'] / 1e6:>9.1f} M" for one in found) + f"   {growth:.0f} times the events"
    )
    for name in [name for name in found[0] if name != "events"]:
        figures = "".join(f"{one[name]:>11.3f}" for one in found)
        print(f"{name:<36}{figures}   {found[-1][name] / found[0][name]:>6.1f} times")


def at_scale(path: str, times: int) -> None:
    """Write the figures of one size as JSON."""
    one = ok.read_log(path, lifecycle="keep")
    frame = tenfold(one, times)
    given = frame.memory_usage(deep=True).sum()
    found: dict[str, float] = {"events": len(frame)}
    found["layout, s"], log = timed(partial(ok.EventLog, frame))
    busiest = str(ok.start_activities(log)["activity"].iloc[0])
    verbs: dict[str, Callable[[], Any]] = {
        "directly_follows": lambda: ok.directly_follows(log),
        "variants": lambda: ok.variants(log),
        "cycle_times": lambda: ok.cycle_times(log),
        "rework": lambda: ok.rework(log),
        "where, by activity": lambda: ok.where(log, activity=busiest),
        "where, by time": lambda: ok.where(log, after="2012-01-01"),
        "where, by an expression": lambda: ok.where(log, "status == 'COMPLETED'"),
        "where, by duration": lambda: ok.where(log, longer_than="1 day"),
        "only, by activity": lambda: ok.only(log, activity=busiest),
        "waiting_times": lambda: ok.waiting_times(log),
        "bottlenecks": lambda: ok.bottlenecks(log),
        "dotted_chart": lambda: ok.dotted_chart(log),
    }
    for name, verb in verbs.items():
        found[f"{name}, s"] = timed(verb)[0]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform == "linux" else 1)
    codes = (log.case_codes, log.activity_codes, log.resource_codes, log.offsets)
    held = sum(one.memory_usage(deep=True).sum() for one in (log.steps, log.cases)) + sum(c.nbytes for c in codes)
    for name, size in (("frame given", given), ("log", held), ("peak of the process", peak)):
        found[f"{name}, bytes an event"] = size / found["events"]
    print(json.dumps(found))


def compare(own: dict[str, Any], peer: dict[str, Any], times: int) -> None:
    """Print whether the answers are the same, number by number."""
    flows = {(s, t): (n, mean, median) for s, t, n, mean, median in peer["flows"]}
    table = own["flows"]
    figures = zip(table["count"], table["mean_s"], table["median_s"], strict=True)
    ours = dict(zip(zip(table["source"], table["target"], strict=True), figures, strict=True))
    same = {
        "pairs": ours.keys() == flows.keys(),
        "their counts": all(ours[pair][0] == flows[pair][0] for pair in flows),
        "their means and medians": all(np.allclose(ours[pair][1:], flows[pair][1:], atol=1e-3) for pair in flows),
        "variants and their counts": dict(zip(own["variants"]["variant"], own["variants"]["cases"], strict=True))
        == {" → ".join(way): n for way, n in peer["variants"]},
        "case durations": np.allclose(np.sort(own["durations"]["cycle_s"]), np.sort(peer["durations"]), atol=1e-3),
        "cases with rework": {
            name: n for name, n in zip(own["rework"]["activity"], own["rework"]["cases_repeated"], strict=True) if n > 0
        }
        == peer["rework"],
        "start activities": dict(zip(own["starts"]["activity"], own["starts"]["cases"], strict=True)) == peer["starts"],
        "end activities": dict(zip(own["ends"]["activity"], own["ends"]["cases"], strict=True)) == peer["ends"],
    }
    mean_days = own["durations"]["cycle_s"].mean() / 86_400
    print(
        f"{len(own['durations']) // times:,} cases, {len(ours)} pairs, {len(own['variants']):,} variants, "
        f"mean duration {mean_days:.4f} days; as pm4py: {same}"
    )


def main() -> None:
    """Print a line a verb: processor seconds, the peer's, their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path")
    parser.add_argument("--peer")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", action="store_true")
    parser.add_argument("--scale-of", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.scale:
        scale(given.path)
        return
    if given.scale_of:
        at_scale(given.path, given.scale_of)
        return
    peer = Peer(given.peer, given.path, given.times) if given.peer else None
    rounds = given.rounds

    def read() -> ok.EventLog:
        return ok.read_log(given.path, lifecycle="keep")

    one, _ = in_turn("read, with the layout", read, peer, "lxml", rounds)
    if peer:
        in_turn("the same", read, peer, "r4pm", rounds)
        in_turn("the same", read, peer, "load", 1)
    frame = tenfold(one, given.times)
    log, _ = in_turn(f"layout of {len(frame):,} events", lambda: ok.EventLog(frame), None, "", rounds)
    own: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, verb, asked in (
        ("directly_follows", lambda: ok.directly_follows(log), "flows"),
        ("directly_follows again", lambda: ok.directly_follows(log), "times only"),
        ("variants", lambda: ok.variants(log), "variants"),
        ("cycle_times", lambda: ok.cycle_times(log), "durations"),
        ("rework", lambda: ok.rework(log), "rework"),
        ("start_activities", lambda: ok.start_activities(log), "starts"),
        ("end_activities", lambda: ok.end_activities(log), "ends"),
    ):
        own[asked], others[asked] = in_turn(name, verb, peer, asked, rounds)
    for name, more in (("waiting_times", ok.waiting_times), ("bottlenecks", ok.bottlenecks)):
        in_turn(name, lambda more=more: more(log), None, "", rounds)
    if peer:
        compare(own, others, given.times)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)
    print(f"peak memory {peak:,.0f} MB")


if __name__ == "__main__":
    main()
