"""Random workflows, and an outside world whose every effect is counted."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from orchkit.executors import Attempt
from orchkit.model import (
    Retry,
    Workflow,
    call,
    choice,
    for_each,
    otherwise,
    parallel,
    repeat_while,
    saga,
    scope,
    task,
    wait_for,
    when,
    workflow,
)
from orchkit.model.blocks import Block

__all__ = ["Effects", "random_workflow"]

_TOLERATED: tuple[int | str, ...] = (0, 1, "50%")


class _Writer:
    """Writes random blocks; every name is used once."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.serial = 0
        self.child = workflow("child", [task("child_work", retry=Retry(max_attempts=2, initial_delay="1s"))])

    def name(self, word: str) -> str:
        self.serial += 1
        return f"{word}_{self.serial}"

    def steps(self, depth: int, *, in_saga: bool = False) -> list[Block]:
        return [self.block(depth, in_saga=in_saga) for _ in range(self.rng.randint(1, 3))]

    def block(self, depth: int, *, in_saga: bool) -> Block:
        kinds = ["task"] * 6 + ["wait", "timer"]
        if depth > 0:
            kinds += ["parallel", "choice", "for_each", "while", "saga", "saga", "scope", "call"]
        match self.rng.choice(kinds):
            case "task":
                return self.task(in_saga=in_saga)
            case "wait":
                late = [task(self.name("escalate"))] if self.rng.random() < 0.5 else None
                return wait_for(callback=self.name("callback"), timeout="1 h", on_timeout=late)
            case "timer":
                return wait_for(timer=self.rng.choice(["10 s", "5 min"]), name=self.name("timer"))
            case "parallel":
                return parallel(*(self.steps(depth - 1, in_saga=in_saga) for _ in range(self.rng.randint(2, 3))))
            case "choice":
                left = self.steps(depth - 1, in_saga=in_saga)
                return choice(
                    when(f"n > {self.rng.randint(0, 9)}", left), otherwise(self.steps(depth - 1, in_saga=in_saga))
                )
            case "for_each":
                return for_each(
                    "items",
                    self.steps(depth - 1, in_saga=in_saga),
                    item=self.name("item"),
                    name=self.name("lines"),
                    concurrency=self.rng.randint(1, 3),
                    tolerated_failures=self.rng.choice(_TOLERATED),
                )
            case "while":
                # The condition reads what the body's last task gives: a number of passes that luck decides.
                last = self.name("more")
                body = [*self.steps(depth - 1, in_saga=in_saga), task(last, output="n")]
                return repeat_while("n > 5", body, name=self.name("again"), max_iterations=5)
            case "saga":
                return saga(self.steps(depth - 1, in_saga=True), name=self.name("saga"), **self.error_path())
            case "scope":
                return scope(self.steps(depth - 1, in_saga=in_saga), name=self.name("scope"), **self.error_path())
            case _:
                return call(self.child, name=self.name("call"))

    def error_path(self) -> dict[str, Any]:
        return {"on_error": [task(self.name("mend"))]} if self.rng.random() < 0.4 else {}

    def task(self, *, in_saga: bool) -> Block:
        name = self.name("task")
        more: dict[str, Any] = {"retry": Retry(max_attempts=self.rng.randint(1, 4), initial_delay="1s", max_delay="8s")}
        if self.rng.random() < 0.4:
            more["timeout"] = "30 s"
        if self.rng.random() < 0.15:
            more["deadline"] = "2 min"
        if self.rng.random() < 0.2:
            more |= self.error_path()
        elif self.rng.random() < 0.2:
            more["fallback"] = "instead"
        if in_saga and self.rng.random() < 0.8:
            undo = task(f"undo_{name}", retry=Retry(max_attempts=3, initial_delay="1s"))
            more["compensate"] = undo if self.rng.random() < 0.85 else "none"
        return task(name, role=self.rng.choice([None, None, "clerk"]), **more)


def random_workflow(rng: random.Random, name: str) -> Workflow:
    """Return a random workflow of every kind of node; its inputs are ``n`` and ``items``."""
    return workflow(name, _Writer(rng).steps(3))


@dataclass(slots=True)
class Effects:
    """What attempts have done to the outside world.

    Attributes
    ----------
    done
        How often work was carried out, by idempotency key: more than once only where a crash or a timeout hid
        the first outcome.
    begun
        Attempts that were begun: run, step, attempt.
    """

    done: Counter[str] = field(default_factory=Counter)
    begun: list[tuple[str, str, int]] = field(default_factory=list)

    def carry_out(self, attempt: Attempt) -> None:
        """Note one effect."""
        self.done[attempt.idempotency_key] += 1
