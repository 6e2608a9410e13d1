"""One M/M/3 queue at load 0.8 by each peer: ``python benchmarks/simulation_peers.py NAME CASES`` prints a median.

It is run by an interpreter that has SimPy, Ciw and Cimba. The figure is processor seconds of the simulation alone,
without imports and compiling. SimPy and Ciw keep a record a case; Cimba keeps none, only the mean of its queue.
"""

# ruff: noqa: ANN401 -- the peers are not there when this is checked
from __future__ import annotations

import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

SERVICE_S = 2.4


def simpy(cases: int) -> Callable[[], object]:
    """Return what simulates the queue by SimPy, a tuple a case kept."""
    import simpy as sp  # noqa: PLC0415 -- a peer, where it is asked for

    def case(env: Any, servers: Any, log: list[tuple[int, float, float, float]], number: int) -> Iterator[Any]:
        arrived = env.now
        with servers.request() as request:
            yield request
            started = env.now
            yield env.timeout(random.expovariate(1 / SERVICE_S))
        log.append((number, arrived, started, env.now))

    def source(env: Any, servers: Any, log: list[tuple[int, float, float, float]]) -> Iterator[Any]:
        for number in range(cases):
            yield env.timeout(random.expovariate(1.0))
            env.process(case(env, servers, log, number))

    def run() -> object:
        env = sp.Environment()
        log: list[tuple[int, float, float, float]] = []
        env.process(source(env, sp.Resource(env, 3), log))
        env.run()
        return log

    return run


def ciw(cases: int) -> Callable[[], object]:
    """Return what simulates the queue by Ciw, its records kept."""
    import ciw as cw  # noqa: PLC0415

    network = cw.create_network(
        arrival_distributions=[cw.dists.Exponential(rate=1.0)],
        service_distributions=[cw.dists.Exponential(rate=1 / SERVICE_S)],
        number_of_servers=[3],
    )

    def run() -> object:
        simulation = cw.Simulation(network)
        simulation.simulate_until_max_customers(cases)
        return simulation.get_all_records()

    return run


def cimba(cases: int) -> Callable[[], object]:
    """Return what simulates the queue by Cimba, whose engine is C and whose models are compiled."""
    from simulation_cimba import queue  # noqa: PLC0415 -- compiles

    return queue(SERVICE_S, cases)


def main() -> None:
    """Print the median of three runs."""
    name, cases = sys.argv[1], int(sys.argv[2])
    run = {"simpy": simpy, "ciw": ciw, "cimba": cimba}[name](cases)
    found = []
    for _ in range(3):
        begun = time.process_time()
        run()
        found.append(time.process_time() - begun)
    print(statistics.median(found))


if __name__ == "__main__":
    main()
