from __future__ import annotations

import threading

import pytest

import orchkit as ok
from orchkit.testing import VirtualClock

FORM = {"type": "object", "properties": {"approved": {"type": "boolean"}}, "required": ["approved"]}


def approve(**more):
    settings = {"form": FORM, "title": "Approve ${amount}", **more.pop("settings", {})}
    return ok.task("approve", executor="human", role="manager", settings=settings, **more)


def the_item(engine, **filters):
    (item,) = engine.work_items(**filters).to_dict("records")
    return item


def test_an_item_shows_what_its_task_says_and_ends_with_the_data_and_who_did_it():
    with ok.Engine() as engine:
        run = engine.start(ok.workflow("w", [approve(), ok.wait_for(callback="x")]), {"amount": 7}, case_id="A-1")
        item = the_item(engine, role="manager")
        assert (item["title"], item["case_id"], item["claimed_by"], item["form"]) == ("Approve 7", "A-1", None, FORM)
        assert engine.work_items(role="clerk").empty

        engine.claim(item["item_id"], by="Ada")
        engine.complete_item(item["item_id"], {"approved": True}, by="Ada")

        assert run.variables["approve"] == {"approved": True}
        assert engine.work_items().empty
        assert run.steps()[["resource", "role", "status"]].values.tolist()[0] == ["Ada", "manager", "COMPLETED"]


def test_of_two_who_claim_one_wins():
    with ok.Engine() as engine:
        for number in range(20):
            engine.start(ok.workflow("w", [approve()]), {"amount": 7}, case_id=str(number))
        ids = engine.work_items()["item_id"].tolist()
        won: dict[str, list[str]] = {"Ada": [], "Bob": []}

        def claim_all(name):
            for item_id in ids:
                try:
                    engine.claim(item_id, by=name)
                except ok.WorkItemTaken:
                    continue
                won[name].append(item_id)

        threads = [threading.Thread(target=claim_all, args=[name]) for name in won]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(won["Ada"] + won["Bob"]) == sorted(ids)
        assert sorted(engine.work_items(by="Ada")["item_id"]) == sorted(won["Ada"])


def test_data_that_do_not_meet_the_form_change_nothing():
    with ok.Engine() as engine:
        run = engine.start(ok.workflow("w", [approve()]), {"amount": 7})
        item = the_item(engine)

        with pytest.raises(ok.InputError, match=r"Form of 'approve'\.approved: 'yes' is not of type 'boolean'"):
            engine.complete_item(item["item_id"], {"approved": "yes"}, by="Ada")
        assert the_item(engine)["claimed_by"] is None
        engine.complete_item(item["item_id"], {"approved": False}, by="Ada")
        assert run.wait().status == "COMPLETED"
        with pytest.raises(ok.WorkItemNotFound):
            engine.complete_item(item["item_id"], {"approved": True}, by="Bob")


def test_a_claimed_item_is_its_claimers_until_it_is_released():
    with ok.Engine() as engine:
        engine.start(ok.workflow("w", [approve(settings={"assignee": "Ada"})]), {"amount": 7})
        item = the_item(engine, by="Ada")["item_id"]

        with pytest.raises(ok.WorkItemTaken, match="meant for 'Ada'"):
            engine.claim(item, by="Bob")
        engine.claim(item, by="Ada")
        with pytest.raises(ok.WorkItemTaken, match="claimed by 'Ada'"):
            engine.complete_item(item, {"approved": True}, by="Bob")
        engine.release(item, by="Ada")
        assert the_item(engine)["claimed_by"] is None


def test_a_refused_item_leads_along_the_error_path():
    told = ok.task("tell")
    with ok.Engine(handlers={"tell": lambda error: error["message"]}) as engine:
        run = engine.start(ok.workflow("w", [approve(on_error=[told])]), {"amount": 7})
        engine.reject(the_item(engine)["item_id"], "It is not mine to decide.", by="Ada")

        assert run.wait().variables["tell"] == "It is not mine to decide."


def test_items_claims_and_escalation_survive_a_restart(tmp_path):
    clock = VirtualClock(skip=False)
    workflow = ok.workflow("w", [approve(settings={"due": "1 day", "escalate_to": "director"})])
    with ok.Engine(tmp_path / "s.duckdb", clock=clock) as engine:
        engine.start(workflow, {"amount": 7}, case_id="A")
        engine.start(workflow, {"amount": 8}, case_id="B")
        engine.claim(engine.work_items()["item_id"][0], by="Ada")
        before = engine.work_items()
    clock.advance("23 h")
    with ok.Engine(tmp_path / "s.duckdb", clock=clock) as engine:
        assert engine.work_items().equals(before)
        assert not engine.work_items()["overdue"].any()
        clock.advance("2 h")
        late = engine.work_items(role="director")
        assert late["overdue"].tolist() == [True, True]
    with ok.Engine(tmp_path / "s.duckdb", clock=clock) as engine:
        assert engine.work_items().equals(late)
        rows = engine.sql("SELECT status FROM history WHERE kind = 'work_item' ORDER BY seq")
        assert rows["status"].tolist() == ["CLAIMED", "ESCALATED", "ESCALATED"]
        for item in late["item_id"]:
            engine.complete_item(item, {"approved": True}, by="Ada")
        assert engine.runs()["status"].tolist() == ["COMPLETED", "COMPLETED"]


def test_an_item_times_out_from_its_offer_on_and_is_offered_again():
    clock = VirtualClock(skip=False)
    retry = {"max_attempts": 2, "initial_delay": "1 min", "jitter": 0}
    with ok.Engine(clock=clock) as engine:
        run = engine.start(ok.workflow("w", [approve(timeout="1 h", retry=retry)]), {"amount": 7})
        engine.claim(the_item(engine)["item_id"], by="Ada")
        clock.advance("61 min")
        assert engine.work_items().empty
        clock.advance("1 min")
        assert the_item(engine)["claimed_by"] is None
        clock.advance("30 min")
        engine.complete_item(the_item(engine)["item_id"], {"approved": True}, by="Bob")

        assert run.wait("30 s").steps()[["attempt", "status", "resource"]].values.tolist() == [
            [1, "FAILED", "Ada"],
            [2, "COMPLETED", "Bob"],
        ]


def test_items_of_a_run_that_is_cancelled_are_withdrawn():
    with ok.Engine() as engine:
        two = [[approve()], [ok.task("sign", executor="human")]]
        run = engine.start(ok.workflow("w", [ok.parallel(*two)]), {"amount": 7})
        items = engine.work_items().set_index("task")["item_id"]
        engine.claim(items["sign"], by="Ada")
        engine.cancel(run, "no more")

        assert run.wait("30 s").status == "CANCELLED"
        assert engine.work_items().empty


def test_settings_that_make_no_sense_are_refused_at_the_start():
    with ok.Engine() as engine:
        for settings, text in (
            ({"form": {"type": "nonsense"}}, "not a JSON Schema"),
            ({"due": "soon"}, "not a duration"),
            ({"from": {}}, "Did you mean 'form'"),
        ):
            with pytest.raises(ok.WorkflowError, match=text):
                engine.start(ok.workflow("w", [ok.task("sign", executor="human", settings=settings)]))


def test_an_item_for_a_role_is_refused_to_whoever_states_others():
    clock = VirtualClock(skip=False)
    settings = {"due": "1 day", "escalate_to": "director"}
    approve = ok.task("approve", executor="human", role="manager", settings=settings)
    with ok.Engine(clock=clock) as engine:
        run = engine.start(ok.workflow("claim", [approve]), case_id="A-1")
        item = engine.work_items()["item_id"][0]
        with pytest.raises(ok.WorkItemTaken, match="is for the role 'manager'; 'Ada' has 'clerk' and 'driver'"):
            engine.claim(item, by="Ada", roles=["clerk", "driver"])
        with pytest.raises(ok.WorkItemTaken, match="'Ada' has no role"):
            engine.complete_item(item, by="Ada", roles=[])
        clock.advance("1 day")
        while not engine.work_items()["overdue"][0]:
            pass
        with pytest.raises(ok.WorkItemTaken, match="is for the role 'director'"):
            engine.reject(item, "No.", by="Bob", roles=["manager"])
        engine.claim(item, by="Eve", roles=["director"])
        engine.complete_item(item, by="Eve")
        assert run.wait("30 s").status == "COMPLETED"


def test_a_run_that_waits_for_a_person_alone_waits_until_somebody_is_at_work():
    with ok.Engine() as engine:
        run = engine.start(ok.workflow("w", [approve()]), {"amount": 7}, case_id="A-1")
        item = the_item(engine)["item_id"]
        told = [run.status]
        engine.claim(item, by="Ada")
        told.append(run.status)
        engine.release(item, by="Ada")
        told.append(run.status)

        assert told == ["WAITING", "RUNNING", "WAITING"]
