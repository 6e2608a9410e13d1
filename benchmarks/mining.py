"""Mining beside pm4py: the same figures of the same log, and the time that each takes.

``python benchmarks/mining.py LOG.xes.gz`` prints orchkit's; ``--peer PYTHON`` names an interpreter that has pm4py,
which is measured in a process of its own; ``--times 10`` takes the log that often, under new case identifiers.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import time
from collections.abc import Callable

import pandas as pd

import orchkit as ok

_PEER = """
import json, sys, time, pandas as pd, pm4py
def timed(verb):
    began = time.perf_counter(); result = verb(); return time.perf_counter() - began, result
path, times = sys.argv[1], int(sys.argv[2])
load_s, one = timed(lambda: pm4py.read_xes(path))
frame = pd.concat([one.assign(**{"case:concept:name": one["case:concept:name"].astype(str) + f"-{n}"})
                   for n in range(times)], ignore_index=True)
frame = pm4py.format_dataframe(frame)
flows_s, flows = timed(lambda: pm4py.discover_performance_dfg(frame)[0])
variants_s, variants = timed(lambda: pm4py.get_variants(frame))
durations_s, durations = timed(lambda: pm4py.get_all_case_durations(frame))
rework_s, rework = timed(lambda: pm4py.get_rework_cases_per_activity(frame))
print("RESULT" + json.dumps({"flows": flows_s, "variants": variants_s, "durations": durations_s, "rework": rework_s,
    "load": load_s, "figures": [len(flows), len(variants), round(sum(durations) / len(durations) / 86400, 4),
                                sum(rework.values())]}))
"""


def timed(verb: Callable[[], object], repeats: int = 3) -> tuple[float, object]:
    """Return the median of the seconds that a verb takes, and its result."""
    spans, result = [], None
    for _ in range(repeats):
        began = time.perf_counter()
        result = verb()
        spans.append(time.perf_counter() - began)
    return statistics.median(spans), result


def main() -> None:
    """Print a line a verb: seconds, the peer's seconds, their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path")
    parser.add_argument("--peer")
    parser.add_argument("--times", type=int, default=10)
    given = parser.parse_args()
    load_s, one = timed(lambda: ok.read_log(given.path, lifecycle="keep"), 1)
    names = one.steps[["case_id", "activity", "completed", "resource"]]
    copies = [names.assign(case_id=names["case_id"].astype("str") + f"-{n}") for n in range(given.times)]
    frame = pd.concat(copies, ignore_index=True)
    layout_s, log = timed(lambda: ok.EventLog(frame), 1)
    own = {
        "flows": timed(lambda: ok.directly_follows(log)),
        "variants": timed(lambda: ok.variants(log)),
        "durations": timed(lambda: ok.cycle_times(log)),
        "rework": timed(lambda: ok.rework(log)),
    }
    rework = own["rework"][1]
    days = round(own["durations"][1]["cycle_s"].mean() / 86_400, 4)
    figures = [len(own["flows"][1]), len(own["variants"][1]), days, int(rework["cases_repeated"].sum())]
    print(f"{len(frame):,} events; load {load_s:.2f} s; layout {layout_s:.2f} s; figures {figures}")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MB")
    peer = {}
    if given.peer:
        command = [given.peer, "-c", _PEER, given.path, str(given.times)]
        out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        peer = json.loads(out.split("RESULT")[1])
        print(f"pm4py: load {peer['load']:.2f} s; figures {peer['figures']}, equal: {peer['figures'] == figures}")
    for name, (seconds, _) in own.items():
        ratio = f"; pm4py {peer[name]:.3f} s; {peer[name] / seconds:.0f} times" if peer else ""
        print(f"{name}: {seconds:.3f} s{ratio}")


if __name__ == "__main__":
    main()
