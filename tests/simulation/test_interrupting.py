"""Who matters more interrupts: one or several at once, on duty; worked out by hand, and against a plain model."""

from __future__ import annotations

import heapq

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orchkit as ok


def play(tasks, resources, *, start=0, timeouts=None, **more):
    """Return the log of one case: each task has a moment, work, a priority, and what it needs; all in minutes."""
    limits = timeouts or {}
    branches = [
        [ok.task(f"until {name}"), ok.task(name, timeout=limits.get(name), retry=ok.Retry(max_attempts=1))]
        for name in tasks
    ]
    durations = {name: 60.0 * work for name, (_, work, _, _) in tasks.items()}
    durations |= {f"until {name}": 60.0 * moment for name, (moment, *_) in tasks.items()}
    scenario = ok.Scenario(
        ok.ArrivalTimes((60.0 * start,)),
        durations,
        {role: ok.Resource(count, discipline="preemptive", **more) for role, count in resources.items()},
        requires={name: needs for name, (*_, needs) in tasks.items()},
        priorities={name: priority for name, (_, _, priority, _) in tasks.items()},
    )
    return ok.simulate(ok.workflow("w", [ok.parallel(*branches)]), scenario, cases=1)


def times(log):
    """Return start and end of each task, in minutes from the case's start."""
    steps = log.steps[~log.steps["activity"].str.startswith("until")]
    columns = [(steps[name] - log.cases["started"][0]).dt.total_seconds() / 60 for name in ("started", "completed")]
    return dict(zip(steps["activity"], zip(*columns, strict=True), strict=True))


def test_what_needs_several_gives_all_of_them_back_and_waits_for_all_again():
    log = play(
        {
            "operate": (0, 60, 1, {"surgeon": 1, "nurse": 2}),
            "urgent": (20, 10, 2, {"nurse": 1}),
            "talk": (22, 5, 0, {"surgeon": 1}),
        },
        {"surgeon": 1, "nurse": 2},
    )

    # The surgeon, who has nothing to do from 20 on, talks from 22; at 27 the nurse is still away, at 30 all go on.
    assert times(log) == {"operate": (0, 70), "urgent": (20, 30), "talk": (22, 27)}
    assert dict(zip(log.availability["resource"], log.availability["busy_s"] / 60, strict=True)) == {
        "surgeon_1": 65,
        "nurse_1": 70,
        "nurse_2": 60,
    }


def test_what_needs_several_interrupts_as_many_as_it_needs_the_least_first():
    log = play(
        {
            "a": (0, 60, 1, {"surgeon": 1}),
            "b": (0, 30, 2, {"nurse": 1}),
            "c": (0, 30, 1, {"nurse": 1}),
            "urgent": (20, 10, 3, {"surgeon": 1, "nurse": 1}),
        },
        {"surgeon": 1, "nurse": 2},
    )

    assert times(log) == {"a": (0, 70), "b": (0, 30), "c": (0, 40), "urgent": (20, 30)}


def test_it_interrupts_nobody_while_one_of_them_does_what_matters_as_much():
    log = play(
        {
            "a": (0, 60, 1, {"nurse": 1}),
            "b": (0, 30, 3, {"surgeon": 1}),
            "urgent": (20, 10, 3, {"nurse": 1, "surgeon": 1}),
        },
        {"surgeon": 1, "nurse": 1},
    )

    assert times(log) == {"a": (0, 70), "b": (0, 30), "urgent": (30, 40)}


def test_who_is_not_on_duty_is_not_interrupted_before_they_are():
    # From 15:00 on an hour of two is done; it is urgent at 20:00, and they come at 8:00.
    tasks = {"low": (0, 120, 1, {"clerk": 1}), "urgent": (300, 60, 2, {"clerk": 1})}
    hours = ok.Calendar({"mon-sun": "08:00-16:00"})

    log = play(tasks, {"clerk": 1}, start=15 * 60, calendar=hours, at_shift_end="pause")

    assert times(log) == {"low": (0, 19 * 60), "urgent": (17 * 60, 18 * 60)}
    urgent = log.steps[log.steps["activity"] == "urgent"].iloc[0]
    assert (urgent["wait_calendar_s"], urgent["wait_contention_s"]) == (12 * 3600, 0)


def test_nobody_begins_anything_in_overtime_not_even_what_is_urgent():
    tasks = {"low": (0, 120, 1, {"clerk": 1}), "urgent": (90, 60, 2, {"clerk": 1})}
    hours = ok.Calendar({"mon-sun": "08:00-16:00"})

    log = play(tasks, {"clerk": 1}, start=15 * 60, calendar=hours, at_shift_end="finish")

    assert times(log) == {"low": (0, 120), "urgent": (17 * 60, 18 * 60)}


@pytest.mark.parametrize(
    ("timeout", "ends", "status"),
    [("40 min", 35, "COMPLETED"), ("33 min", 33, "FAILED"), ("12 min", 12, "FAILED"), ("10 min", 10, "FAILED")],
)
def test_the_timeout_of_an_attempt_goes_on_while_it_is_interrupted(timeout, ends, status):
    tasks = {"low": (0, 30, 1, {"clerk": 1}), "urgent": (10, 5, 2, {"clerk": 1}), "last": (20, 1, 0, {"clerk": 1})}

    log = play(tasks, {"clerk": 1}, timeouts={"low": timeout})

    steps = log.steps.set_index("activity")
    assert (times(log)["low"], steps.loc["low", "status"]) == ((0, ends), status)
    busy = {35: 30 + 5 + 1, 33: 28 + 5, 12: 10 + 5, 10: 10 + 5}[ends]
    assert log.availability["busy_s"].tolist() == [60 * busy]


# A plain model ----------------------------------------------------------------------


class Model:
    """Jobs that need some of several roles, and wait in one queue, the greatest priority first."""

    def __init__(self, jobs, free):
        self.jobs, self.free, self.queue, self.running = jobs, list(free), [], {}
        self.left = [work for _, work, _, _ in jobs]
        self.begun, self.ended = {}, {}
        self.events = [(moment, place, None) for place, (moment, *_) in enumerate(jobs)]

    def play(self):
        heapq.heapify(self.events)
        while self.events:
            now, job, since = heapq.heappop(self.events)
            if since is None:
                self.queue.append(job)
            elif self.running.get(job) == since:
                self.stop(job, now)
                self.ended[job] = now
            else:
                continue
            while self.somebody_begins(now):
                pass
        return {job: (self.begun[job], self.ended[job]) for job in self.begun}

    def needs(self, job):
        return list(enumerate(self.jobs[job][3]))

    def stop(self, job, now):
        self.left[job] -= now - self.running.pop(job)
        for role, count in self.needs(job):
            self.free[role] += count

    def somebody_begins(self, now):
        waiting = sorted(self.queue, key=lambda job: -self.jobs[job][2])
        for less in (False, True):  # who needs to interrupt nobody comes first
            for job in waiting:
                lower = [other for other in self.running if less and self.jobs[other][2] < self.jobs[job][2]]
                lower.sort(key=lambda other: self.jobs[other][2])
                there = [self.free[role] + sum(self.jobs[other][3][role] for other in lower) for role in range(3)]
                if any(there[role] < count for role, count in self.needs(job)):
                    continue
                for role, count in self.needs(job):
                    while self.free[role] < count:
                        victim = next(v for v in lower if v in self.running and self.jobs[v][3][role])
                        self.stop(victim, now)
                        self.queue.append(victim)
                self.begin(job, now)
                return True
        return False

    def begin(self, job, now):
        self.queue.remove(job)
        for role, count in self.needs(job):
            self.free[role] -= count
        self.begun.setdefault(job, now)
        self.running[job] = now
        heapq.heappush(self.events, (now + self.left[job], job, now))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_interruptions_are_those_of_a_plain_model(data):
    free = [data.draw(st.integers(1, 3)) for _ in range(3)]
    count = data.draw(st.integers(2, 12))
    priorities = data.draw(st.permutations(range(count)))
    # No two moments are one: each job's have their own digits.
    jobs = [
        (
            data.draw(st.integers(0, 20)) + 0.01 * place,
            data.draw(st.integers(1, 15)) + 2.0 ** -(place + 8),
            priorities[place],
            [data.draw(st.integers(1 if not role else 0, most)) for role, most in enumerate(free)],
        )
        for place in range(count)
    ]
    used = [role for role in range(3) if any(needs[role] for *_, needs in jobs)]
    tasks = {
        f"j{place}": (*job[:3], {f"r{role}": job[3][role] for role in used if job[3][role]})
        for place, job in enumerate(jobs)
    }

    found = times(play(tasks, {f"r{role}": free[role] for role in used}))

    for place, (begun, ended) in Model(jobs, free).play().items():
        assert abs(found[f"j{place}"][0] - begun) < 1e-5
        assert abs(found[f"j{place}"][1] - ended) < 1e-5


def _two_clerks(low, *, calendars=(None, None), **more):
    """Return the log of low work on both, of one of them then interrupted, and taken up by the other one."""
    workflow = ok.workflow(
        "w",
        [
            ok.parallel(
                [ok.task("low", role="clerk", **low)],
                [ok.task("short", role="clerk")],
                [ok.wait_for(timer="2 h", name="later"), ok.task("high", role="clerk")],
            )
        ],
    )
    members = {"Ann": calendars[0], "Bob": calendars[1]}
    scenario = ok.Scenario(
        ok.ArrivalTimes([0]),
        {"low": "6 h", "short": "3 h", "high": "9 h"},
        {"clerk": ok.Resource(members=members, discipline="preemptive", cost_per_hour=1)},
        priorities={"high": 2, "short": 1},
        **more,
    )
    return ok.simulate(workflow, scenario)


def _hours(log):
    return [
        dict(zip(log.availability["resource"], log.availability["busy_s"] / 3600, strict=True)),
        dict(zip(log.steps["activity"], log.steps["cost"], strict=True)),
    ]


def test_who_takes_up_work_has_not_done_what_was_done_before():
    log = _two_clerks({})

    # Ann begins low and does high from 2 on; Bob does short until 3, then the four hours of low that are left.
    assert _hours(log) == [{"Ann": 11, "Bob": 7}, {"short": 3, "low": 6, "high": 9, "later": 0}]


def test_hours_of_work_are_those_of_who_did_it():
    # Bob has a break from 1 to 2, in which Ann works on low: short ends at 4, low at 8.
    log = _two_clerks({}, calendars=(None, ok.Calendar({"mon": ["00:00-01:00", "02:00-24:00"]})))

    assert _hours(log) == [{"Ann": 11, "Bob": 7}, {"short": 3, "low": 6, "high": 9, "later": 0}]


def test_a_batch_that_another_takes_up_gives_back_whom_it_has():
    # The first of the batch leaves at 5, when Bob does it: he, not Ann, is free when the second one ends.
    workflow = ok.workflow(
        "w",
        [
            ok.parallel(
                [
                    ok.task(
                        "low", role="clerk", deadline="5 h", retry=ok.Retry(max_attempts=1), on_error=[ok.task("out")]
                    )
                ],
                [ok.wait_for(timer="1 min", name="soon"), ok.task("short", role="clerk")],
                [ok.wait_for(timer="2 h", name="later"), ok.task("high", role="clerk")],
                [ok.wait_for(timer="8 h", name="last"), ok.task("after", role="clerk")],
            )
        ],
    )
    scenario = ok.Scenario(
        ok.ArrivalTimes([0, 1]),
        {"low": "6 h", "short": "3 h", "high": "9 h", "after": "1 h", "out": 0},
        {"clerk": ok.Resource(members={"Ann": None, "Bob": None}, discipline="preemptive")},
        priorities={"high": 2, "short": 1},
        batches={"low": 2, "short": 2, "high": 2, "after": 2},
    )

    log = ok.simulate(workflow, scenario)

    worked = log.steps[log.steps["resource"].notna() & (log.steps["activity"] != "low")]
    assert log.availability["busy_s"].sum() <= log.availability["available_s"].sum()
    for _, own in worked.groupby("resource", observed=True):
        spans = own[["started", "completed"]].drop_duplicates().sort_values("started")
        assert (spans["started"].iloc[1:].to_numpy() >= spans["completed"].iloc[:-1].to_numpy()).all()
