"""Faults are a pure function of seed, request and attempt."""

from __future__ import annotations

from typing import Any

import pytest

from sample_processes.faults import PRESETS, Fault, Faults


def faults_met(faults: Faults, *, seed: int = 0, attempt: int = 1, requests: int = 2_000) -> list[Fault]:
    return [faults.fate("/crm", str(request), attempt=attempt, seed=seed).fault for request in range(requests)]


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault is not Fault.NONE], ids=lambda fault: fault.name)
def test_each_fault_has_its_share(fault: Fault) -> None:
    shares: dict[str, Any] = {fault.value: 0.1}
    met = faults_met(Faults(**shares))
    assert met.count(fault) / len(met) == pytest.approx(0.1, abs=0.02)
    assert set(met) == {fault, Fault.NONE}


def test_the_same_seed_gives_the_same_faults_and_another_one_does_not() -> None:
    assert faults_met(Faults.harsh(), seed=1) == faults_met(Faults.harsh(), seed=1)
    assert faults_met(Faults.harsh(), seed=1) != faults_met(Faults.harsh(), seed=2)


def test_a_rejected_request_is_rejected_at_every_attempt_and_others_are_not() -> None:
    rejecting, failing = Faults(rejected=0.5), Faults(unavailable=0.5)
    assert faults_met(rejecting, attempt=1) == faults_met(rejecting, attempt=2)
    assert faults_met(failing, attempt=1) != faults_met(failing, attempt=2)


def test_the_longest_path_counts() -> None:
    faults = Faults(paths={"/billing": Faults(lost=0.1), "/billing/refunds": Faults(lost=0.2)})
    assert [faults.at(path).lost for path in ("/crm", "/billing/captures", "/billing/refunds")] == [0.0, 0.1, 0.2]


def test_latency_has_the_configured_median() -> None:
    faults = Faults(latency_s=0.01)
    latencies = sorted(faults.fate("/crm", str(request), attempt=1, seed=0).latency_s for request in range(2_001))
    assert latencies[1_000] == pytest.approx(0.01, rel=0.1)
    assert latencies[-1] > 0.03


def test_a_slow_answer_takes_its_time() -> None:
    assert Faults(slow=1, slow_s=30).fate("/crm", "7", attempt=1, seed=0).latency_s == 30


@pytest.mark.parametrize("shares", [{"lost": 1.2}, {"lost": -0.1}, {"lost": 0.6, "slow": 0.6}, {"rejected": 2}])
def test_shares_that_make_no_sense_are_refused(shares: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="Shares of faults"):
        Faults(**shares)


def test_the_presets_get_worse() -> None:
    passed = {name: faults_met(preset()).count(Fault.NONE) / 2_000 for name, preset in PRESETS.items()}
    assert passed["none"] == 1.0
    assert passed["default"] == pytest.approx(0.92, abs=0.02)
    assert passed["harsh"] == pytest.approx(0.70, abs=0.04)
