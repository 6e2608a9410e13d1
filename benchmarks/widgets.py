"""What widgets cost: Monitor over 10,000 runs, Modeler and RunView of a graph of 500 nodes.

Run ``python benchmarks/widgets.py``. Figures are processor seconds of the thread that draws, imports left out: the
first paint, and the median of five updates. They shall stay below 2 s and 0.2 s.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial

import pandas as pd

import orchkit as ok

RUNS, NODES, UPDATES = 10_000, 500, 5


def cost(work: Callable[[], object]) -> float:
    """Return the processor time of a call."""
    begun = time.thread_time()
    work()
    return time.thread_time() - begun


def told(name: str, first_s: float, updates_s: list[float]) -> None:
    """Print a row."""
    print(f"{name:24} first paint {first_s:6.3f} s   update {statistics.median(updates_s):6.3f} s")


def monitor() -> None:
    """Measure the monitor."""
    order = ok.workflow("order", [ok.task("check"), ok.task("pay", role="clerk")])
    with ok.Engine(handlers={"check": lambda: True, "pay": lambda: 1}) as engine:
        warm = engine.run(order, case_id="warm")  # loads what is loaded once
        ok.Monitor(engine, every="1 d").close()
        engine.run_many(order, pd.DataFrame({"case_id": [str(n) for n in range(RUNS)]}), progress=False)
        view = ok.Monitor(engine, every="1 d")
        view.stop()
        first_s = cost(lambda: ok.Monitor(engine, every="1 d").close())
        updates = []
        for number in range(UPDATES):
            engine.run(order, case_id=f"more {number}")  # something has changed
            updates.append(cost(view.refresh))
        told(f"Monitor, {RUNS:,} runs", first_s, updates)
        assert warm.status == "COMPLETED"


def graph() -> ok.Workflow:
    """Return a long workflow."""
    return ok.workflow("large", [ok.task(f"task_{number}") for number in range(NODES - 2)])


def modeler() -> None:
    """Measure the modeler: a node is chosen, described, renamed."""
    ok.Modeler(ok.workflow("small", [ok.task("a")]))
    large = graph()
    first_s = cost(lambda: ok.Modeler(large))
    view = ok.Modeler(large)

    def updates(name: str, **content: str) -> list[float]:
        numbers = range(UPDATES)
        return [cost(partial(view.act, name, **{k: f"{v}{n}" for k, v in content.items()})) for n in numbers]

    told(f"Modeler, {NODES} nodes", first_s, updates("select", node="task_"))
    changes = [cost(partial(view.act, "change", name="description", value=f"text {n}")) for n in range(UPDATES)]
    told("  a node described", first_s, changes)
    changes = [cost(partial(view.act, "change", name="name", value=f"renamed_{n}")) for n in range(UPDATES)]
    told("  a node renamed", first_s, changes)


def run_view() -> None:
    """Measure the view of a run."""
    large = graph()
    with ok.Engine(handlers={f"task_{number}": lambda: 1 for number in range(NODES)}) as engine:
        run = engine.run(large, case_id="1")
        views: list[ok.RunView] = []
        ok.RunView(engine.run(ok.workflow("small", [ok.task("task_1")]), case_id="2")).close()
        first_s = cost(lambda: views.append(ok.RunView(run, every="1 d")))
        view = views[0]
        view.stop()
        seqs = run.history()["seq"].tolist()[100:600:100]
        told(f"RunView, {NODES} nodes", first_s, [cost(partial(view.act, "look_at", seq=seq)) for seq in seqs])


if __name__ == "__main__":
    monitor()
    modeler()
    run_view()
