"""Real crashes: a process with an engine is killed with SIGKILL, again and again, until all its work is done.

A round is one store and some thirty runs: sequences, branches, sagas, loops, timers, waits, calls, all with faults that
retries overcome. Its process tells what has been acknowledged and done; after a number of lines, which the seed
chooses, it is killed, wherever it is, and another takes over. At the end the store is compared with what was told:

- each start, answer and end that was acknowledged is in the store, and each run has ended as it must;
- no step completes twice;
- each step that completed has had its effect, under one idempotency key, and no effect is without a durable intent;
- what a saga undoes, it undoes in reverse order of completion;
- timers are not early, and what has ended has a duration.

``python -m orchkit.testing.crashes --rounds 1000`` runs as many rounds as one likes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import signal
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext
from pathlib import Path

import pandas as pd

from orchkit.model.states import RunStatus
from orchkit.store import Store
from orchkit.testing.lives import CASES, EFFECTS, STORE, Kind, Told, live

__all__ = ["Report", "explore", "main"]

_TIMER_S = 0.03
_MAX_LINES = 100

# Forked from a process that has all the imports, a life begins in milliseconds.
_FORKS = "forkserver" in multiprocessing.get_all_start_methods()
_CONTEXT = ForkServerContext() if _FORKS else SpawnContext()


@dataclass(frozen=True, slots=True)
class Report:
    """What a round has shown.

    Attributes
    ----------
    seed
        Of the round.
    kills
        How often the engine's process was killed.
    steps
        Steps that completed.
    repeated
        Effects that happened again, since a crash or a fault had hidden the first outcome.
    violations
        Invariants that broke; empty where all hold.
    """

    seed: int
    kills: int
    steps: int
    repeated: int
    violations: tuple[str, ...]


def explore(seed: int, folder: str | Path | None = None) -> Report:
    """Run one round.

    Parameters
    ----------
    seed
        Chooses faults and the moments of the kills. How far the process has come at that moment is the machine's
        affair: a round is not the same twice.
    folder
        An empty one that is kept; by default a temporary one.
    """
    if _FORKS:
        _CONTEXT.set_forkserver_preload([live.__module__])
    if folder is not None:
        return _round(seed, Path(folder))
    with tempfile.TemporaryDirectory(prefix="orchkit-crashes-") as temporary:
        return _round(seed, Path(temporary))


def _round(seed: int, folder: Path) -> Report:
    rng = random.Random(seed)
    told: list[Told] = []
    kills, most = 0, rng.randint(2, 6)
    while Told(Kind.DONE) not in told:
        code = _life(folder, seed, told, rng.randint(1, _MAX_LINES) if kills < most else None)
        kills += code == -signal.SIGKILL
        if code not in (0, -signal.SIGKILL):
            return Report(seed, kills, 0, 0, (f"the engine's process ended with exit code {code}",))
    with Store(folder / STORE) as store:
        history, effects = store.sql("select * from history order by seq"), _effects(folder)
    completed = history[history["kind"].isin(["task", "compensation"]) & (history["status"] == "COMPLETED")]
    violations = (*_acknowledged(told, history), *_steps(history, effects), *_sagas(history), *_times(history))
    repeated = int(effects["key"].duplicated().sum())
    return Report(seed, kills, len(completed), repeated, violations)


def _life(folder: Path, seed: int, told: list[Told], patience: int | None) -> int:
    """Let an engine live until it has told so many lines, or all; add them to ``told``, and return the exit code."""
    ours, theirs = _CONTEXT.Pipe(duplex=False)
    process = _CONTEXT.Process(target=live, args=(folder, seed, tuple(told), theirs))
    process.start()
    theirs.close()
    with ours:
        # What was on its way when the process died had been acknowledged as well.
        for number, line in enumerate(_lines(ours), start=1):
            told.append(line)
            if number == patience:
                process.kill()
    process.join()
    return process.exitcode or 0


def _lines(connection: Connection) -> Iterable[Told]:
    while True:
        try:
            yield connection.recv()
        except (EOFError, OSError):  # the end, or a line cut in two
            return


def _effects(folder: Path) -> pd.DataFrame:
    path = folder / EFFECTS
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return pd.DataFrame([json.loads(line) for line in lines], columns=["key", "attempt"])


# Invariants ---------------------------------------------------------------------------------------


def _acknowledged(told: Iterable[Told], history: pd.DataFrame) -> list[str]:
    """Check what was acknowledged, and how each run ended."""
    runs = history[(history["kind"] == "run") & (history["workflow"] != "child")]
    final = runs[runs["status"].isin([status.value for status in RunStatus if status.is_final])]
    ends = final.groupby("case_id")["status"].agg(list).to_dict()
    begun = set(runs["case_id"])
    found = [
        f"the {line.kind} of {line.about} was acknowledged and is not in the store"
        for line in told
        if (line.kind is Kind.STARTED and line.about not in begun)
        or (line.kind is Kind.ENDED and ends.get(line.about) != [line.status])
    ]
    found += [
        f"{case.case_id} must end {case.status}, once, and ended {ends.get(case.case_id)}"
        for case in CASES
        if ends.get(case.case_id) != [case.status]
    ]
    waits = history[(history["kind"] == "wait") & (history["workflow"] == "asking")]
    answers = waits[waits["status"] == "COMPLETED"]
    return found + [
        f"the answer to {case_id} was {payload}"
        for case_id, payload in zip(answers["case_id"], answers["payload"], strict=True)
        if json.loads(payload)["output"] != {"case": case_id}
    ]


def _steps(history: pd.DataFrame, effects: pd.DataFrame) -> list[str]:
    """Check that steps complete once, and effects against steps: the key names run and step."""
    steps = history[history["kind"].isin(["task", "compensation", "wait", "call"])]
    done = steps[steps["status"] == "COMPLETED"]
    twice = done[done.duplicated(["run_id", "step_id"])]
    found = [f"step {row.step_id} of {row.case_id} completed twice" for row in twice.itertuples()]
    keyed = steps.assign(key=steps["run_id"] + ":" + steps["step_id"])
    worked = keyed[keyed["kind"].isin(["task", "compensation"])]
    completed = worked[worked["status"] == "COMPLETED"]
    without = completed[~completed["key"].isin(effects["key"])]
    found += [f"step {row.step_id} of {row.case_id} completed without its effect" for row in without.itertuples()]
    intents = worked[worked["status"] == "RUNNING"][["key", "attempt"]].drop_duplicates()
    meant = effects.merge(intents, on=["key", "attempt"], how="left", indicator=True)
    rash = meant[meant["_merge"] == "left_only"]
    return found + [f"effect {row.key}, attempt {row.attempt}, came before its intent" for row in rash.itertuples()]


def _sagas(history: pd.DataFrame) -> list[str]:
    """Check that sagas undo in reverse order of completion."""
    found = []
    for case_id, rows in history[history["workflow"] == "undone"].groupby("case_id"):
        undone = rows[rows["kind"] == "compensation"]
        told = zip(undone["step_id"], undone["payload"].map(json.loads, na_action="ignore"), strict=True)
        of = {step_id: payload["of"] for step_id, payload in told if isinstance(payload, dict) and "of" in payload}
        done = rows[rows["status"] == "COMPLETED"]
        backwards = [of[step_id] for step_id in done.loc[done["kind"] == "compensation", "step_id"]]
        forwards = [step_id for step_id in done.loc[done["kind"] == "task", "step_id"] if step_id in backwards]
        if backwards != forwards[::-1]:
            found.append(f"{case_id} undid {backwards} after {forwards}")
    return found


def _times(history: pd.DataFrame) -> list[str]:
    """Check timers and durations."""
    waits = history[(history["kind"] == "wait") & (history["workflow"] == "patient")]
    lasted_s = waits.groupby("case_id")["occurred_at"].agg(lambda times: (times.max() - times.min()).total_seconds())
    found = [
        f"the timer of {case_id} fired after {lasted} s" for case_id, lasted in lasted_s.items() if lasted < _TIMER_S
    ]
    timed = history[history["kind"].isin(["run", "task", "wait", "scope", "call", "compensation"])]
    ends = timed[timed["status"].isin(["COMPLETED", "FAILED"]) & timed["duration_s"].isna()]
    return found + [f"{row.kind} {row.node} of {row.case_id} has no duration" for row in ends.itertuples()]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run rounds, print what they showed, and return 1 where an invariant broke."""
    parser = argparse.ArgumentParser(prog="python -m orchkit.testing.crashes", description="Real crashes.")
    parser.add_argument("--rounds", type=int, default=20, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    options = parser.parse_args(arguments)
    reports = []
    for seed in range(options.first, options.first + options.rounds):
        reports.append(report := explore(seed))
        for violation in report.violations:
            print(f"seed {seed}: {violation}")
    broken = sum(bool(report.violations) for report in reports)
    kills, steps, repeated = (
        sum(getattr(report, name) for report in reports) for name in ("kills", "steps", "repeated")
    )
    print(
        f"{len(reports)} rounds: {kills} kills, {steps} steps, {repeated} effects repeated; "
        f"{broken} rounds broke an invariant",
    )
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
