"""The queue of `simulation_peers` by Cimba, which looks its annotations up in the module: so it has one of its own."""

from collections.abc import Callable

import cimba as cb
from cimba import inputs


class Queue(cb.Model):  # type: ignore[misc]
    """Three servers; what arrives is counted, not told apart."""

    between: cb.Input[float] = inputs.dist.exponential(mean=1.0)
    service: cb.Input[float] = inputs.dist.exponential(mean=2.4)
    waiting: cb.Container
    mean_waiting: cb.Output[float]

    @cb.process  # type: ignore[untyped-decorator]
    def arrivals(self) -> None:
        """Let cases arrive."""
        while True:
            cb.hold(self.between.next())
            self.waiting.put(1)

    @cb.process(copies=3)  # type: ignore[untyped-decorator]
    def server(self) -> None:
        """Serve one after the other."""
        while True:
            self.waiting.get(1)
            cb.hold(self.service.next())

    @cb.on_end  # type: ignore[untyped-decorator]
    def measure(self) -> None:
        """Note the mean length of the queue."""
        self.mean_waiting = self.waiting.mean_level()


def queue(service_s: float, duration_s: int) -> Callable[[], object]:
    """Return what simulates the queue for so long; it is compiled before."""
    model = Queue()
    model.service = inputs.dist.exponential(mean=service_s)

    def run(duration: int = duration_s) -> object:
        window = cb.Window(warmup=0, duration=duration)
        return cb.Experiment(model, replications=1, window=window, seed=1).run()[model].mean_waiting

    run(100)
    return run
