"""Webhooks out: at least once, signed, tried again, given up visibly, and never in the engine's way."""

from __future__ import annotations

import threading

import pytest

import orchkit as ok
from orchkit.errors import SecretError
from orchkit.operations.posting import check_address
from orchkit.operations.signatures import verify
from orchkit.testing import Receiver, VirtualClock

FAST = ok.Retry(max_attempts=3, initial_delay="0 s", multiplier=1, jitter=0)
SECRET = "hunter22-of-the-crm"


def ship(address):
    if address == "?":
        raise ok.PermanentError(f"no such address, says {SECRET}")
    if address == "busy":
        raise ok.TransientError("the carrier does not answer")
    return "sent"


ORDER = ok.workflow("order", [ok.task("ship", retry={"max_attempts": 1})])


def engine_of(path=None, **settings):
    return ok.Engine(path, handlers=[ship], secrets={"crm": SECRET, "new": "another-secret"}, **settings)


def told(frame):
    return frame[["type", "status", "attempt"]].values.tolist()


def test_each_kind_of_event_is_told_with_what_it_is_about_and_no_secret():
    def pay():
        return "paid"

    saga = ok.workflow("trip", [ok.saga([ok.task("pay", compensate=ok.task("refund")), ok.task("ship")])])
    with Receiver() as crm, engine_of() as engine, ok.webhooks(engine, live=False) as hooks:
        engine.add_handlers({"pay": pay, "refund": lambda: "refunded"})
        hooks.add(crm.url, secret="crm")
        engine.run(ORDER, {"address": "Oslo"}, case_id="A-1")
        letter = engine.run(ORDER, {"address": "busy"}, case_id="A-2")
        engine.run(ORDER, {"address": "?"}, case_id="A-3")
        engine.run(saga, {"address": "?"}, case_id="T-1")
        engine.cancel(engine.start(ok.workflow("idle", [ok.wait_for(callback="c")]), case_id="I-1"))
        engine.discard(letter, "The shop has closed.", by="Ada")
        engine.note("alert", "order/slow", "FIRING", {"severity": "warning", "value": 7})
        found = hooks.deliver()

        # A receiver's side: what came is what the secret has signed.
        messages = {verify(SECRET, one.headers, one.body, now=engine.now).id: one.json for one in crm.messages}

    assert (set(found["status"]), set(found["code"])) == ({"SENT"}, {200})
    told_of = sorted((one["type"], one["data"].get("case_id")) for one in messages.values())
    assert told_of == [
        ("alert.firing", None),
        ("run.cancelled", "I-1"),
        ("run.compensated", "T-1"),
        ("run.completed", "A-1"),
        ("run.dead_lettered", "A-2"),
        ("run.discarded", "A-2"),
        ("run.failed", "A-2"),
        ("run.failed", "A-3"),
        *[("run.started", case) for case in ("A-1", "A-2", "A-3", "I-1", "T-1")],
    ]
    failed = next(
        one["data"] for one in messages.values() if one["data"].get("case_id") == "A-3" and "error" in one["data"]
    )
    assert failed["error"] == {
        "class": "permanent",
        "type": "PermanentError",
        "message": "no such address, says ***",
    }
    assert {one["data"].get("by") for one in messages.values() if one["type"] == "run.discarded"} == {"Ada"}


def test_only_what_was_asked_for_is_told_and_nothing_from_before():
    with Receiver() as crm, engine_of() as engine, ok.webhooks(engine, live=False) as hooks:
        engine.run(ORDER, {"address": "Oslo"}, case_id="before")
        hooks.add(crm.url, events=["run.completed"], workflows="ord*")
        engine.run(ORDER, {"address": "Oslo"}, case_id="A-1")
        engine.run(ok.workflow("other", [ok.task("ship")]), {"address": "Oslo"}, case_id="A-2")
        hooks.deliver()

    assert [message.json["data"]["case_id"] for message in crm.messages] == ["A-1"]


def test_what_fails_is_tried_again_later_with_the_same_id_and_a_new_signature():
    clock = VirtualClock("2027-03-01T09:00:00+00:00", skip=False)
    answers = iter([500, 429, 200])
    with (
        Receiver(lambda _: next(answers), {"retry-after": "40"}) as crm,
        engine_of(clock=clock) as engine,
        ok.webhooks(engine, live=False) as hooks,
    ):
        hooks.add(crm.url, events="run.completed", secret="crm", retry=ok.Retry(5, "10 s", "1 h", 6, 0))
        engine.run(ORDER, {"address": "Oslo"}, case_id="A-1")
        assert told(hooks.deliver()) == [["run.completed", "FAILED", 1]]
        clock.advance("39 s")
        assert told(hooks.deliver()) == []
        clock.advance("1 s")
        assert told(hooks.deliver()) == [["run.completed", "FAILED", 2]]
        clock.advance("60 s")
        assert told(hooks.deliver()) == [["run.completed", "SENT", 3]]
        clock.advance("1 h")
        assert told(hooks.deliver()) == []
        ids = {verify(SECRET, one.headers, one.body, now=engine.now, tolerance_s=1e5).id for one in crm.messages}

    assert len(ids) == 1
    began = int(crm.messages[0].headers["webhook-timestamp"])
    assert [int(one.headers["webhook-timestamp"]) - began for one in crm.messages] == [0, 40, 100]


def test_what_is_given_up_is_a_dead_letter_that_can_be_sent_again_or_discarded():
    down = True
    with Receiver(lambda _: 500 if down else 200) as crm, engine_of() as engine:
        with ok.webhooks(engine, live=False) as hooks:
            hooks.add(crm.url, name="crm", events="run.completed", retry=FAST)
            for case in ("A-1", "A-2"):
                engine.run(ORDER, {"address": "Oslo"}, case_id=case)
            hooks.deliver()
            letters = hooks.dead_letters()
            assert (
                letters[["webhook", "type", "attempt", "code", "error"]].values.tolist()
                == [["crm", "run.completed", 3, 500, "answered 500 Internal Server Error"]] * 2
            )
            assert hooks.deliver().empty

            down = False
            first, second = letters["message_id"]
            assert hooks.replay(first, by="Ada", reason="The CRM is up again.") == 1
            assert told(hooks.deliver()) == [["run.completed", "SENT", 1]]
            assert hooks.discard([second], "It was told by telephone.", by="Ada") == 1
            assert hooks.dead_letters().empty
            with pytest.raises(ok.RunError, match="dead_letters"):
                hooks.replay(second)

        # Nothing of that is told again by another life.
        with ok.webhooks(engine, live=False) as hooks:
            assert hooks.deliver().empty
            decided = hooks.deliveries().query("by == 'Ada'")[["status", "reason"]].values.tolist()
    assert decided == [["DISCARDED", "It was told by telephone."], ["REPLAYED", "The CRM is up again."]]
    assert crm.messages[-1].headers["webhook-id"] == first


def test_a_restart_loses_nothing_and_goes_on_with_the_attempts(tmp_path):
    codes = []

    def answers(_):
        codes.append(None)
        return 500 if len(codes) <= 2 else 200

    with Receiver(answers) as crm:
        with engine_of(tmp_path / "a.duckdb") as engine, ok.webhooks(engine, live=False) as hooks:
            hooks.add(crm.url, events="run.completed", secret="crm", retry=FAST)
            engine.run(ORDER, {"address": "Oslo"}, case_id="A-1")
            hooks._dispatch()[0].result(30)  # one attempt, then the end
        with engine_of(tmp_path / "a.duckdb") as engine:
            engine.run(ORDER, {"address": "Oslo"}, case_id="A-2")  # nobody tells of it now
        with engine_of(tmp_path / "a.duckdb") as engine, ok.webhooks(engine, live=False) as hooks:
            assert hooks.listed()[["secret", "state"]].values.tolist() == [["crm", "active"]]
            found = hooks.deliver()
        with engine_of(tmp_path / "a.duckdb") as engine, ok.webhooks(engine, live=False) as hooks:
            assert hooks.deliver().empty

    assert sorted(found["status"]) == ["FAILED", "SENT", "SENT"]
    assert {one.json["data"]["case_id"] for one in crm.messages} == {"A-1", "A-2"}
    assert len({one.headers["webhook-id"] for one in crm.messages}) == 2
    assert SECRET not in str(engine_rows(tmp_path / "a.duckdb"))


def engine_rows(path):
    with engine_of(path) as engine:
        return engine.sql("SELECT * FROM history").to_dict("records")


def test_a_receiver_that_does_not_answer_holds_up_neither_the_runs_nor_the_others():
    go = threading.Event()

    def slow(_):
        go.wait(30)
        return 200

    with Receiver(slow) as dead, Receiver() as alive, engine_of() as engine, ok.webhooks(engine) as hooks:
        hooks.add(dead.url, events="run.completed")
        hooks.add(alive.url, events="run.completed")
        for number in range(20):
            engine.run(ORDER, {"address": "Oslo"}, case_id=f"A-{number}")
        alive.wait_for(20)
        assert len(dead.messages) <= 4
        assert not go.is_set()
        go.set()
        dead.wait_for(20)
    assert {one.json["data"]["case_id"] for one in dead.messages} == {f"A-{number}" for number in range(20)}


def test_who_is_gone_is_told_nothing_more_until_it_is_added_again():
    codes = iter([410, 200])
    with Receiver(lambda _: next(codes)) as crm, engine_of() as engine, ok.webhooks(engine, live=False) as hooks:
        hooks.add(crm.url, name="crm", events="run.completed")
        engine.run(ORDER, {"address": "Oslo"}, case_id="A-1")
        assert told(hooks.deliver()) == [["run.completed", "DEAD_LETTERED", 1]]
        engine.run(ORDER, {"address": "Oslo"}, case_id="A-2")
        assert (hooks.deliver().empty, hooks.listed()["state"].item()) == (True, "gone")
        hooks.add(crm.url, name="crm", events="run.completed")
        assert told(hooks.deliver()) == [["run.completed", "SENT", 1]]
        hooks.remove("crm")
        engine.run(ORDER, {"address": "Oslo"}, case_id="A-3")
        assert (hooks.deliver().empty, len(hooks.listed())) == (True, 0)


def test_while_a_secret_is_changed_both_sign():
    with Receiver() as crm, engine_of() as engine, ok.webhooks(engine, live=False) as hooks:
        hooks.add(ok.Webhook(crm.url, events="run.completed", secret=["secret:new", "${secrets.crm}"]))
        engine.run(ORDER, {"address": "Oslo"}, case_id="A-1")
        hooks.deliver()
        (one,) = crm.messages
        for secret in (SECRET, "another-secret"):
            assert verify(secret, one.headers, one.body, now=engine.now)


def test_an_address_may_hold_a_secret_which_is_never_kept():
    with Receiver() as crm, engine_of() as engine, ok.webhooks(engine, live=False) as hooks:
        hooks.add(f"{crm.url}/${{secrets.crm}}", events="run.completed")
        engine.run(ORDER, {"address": "Oslo"}, case_id="A-1")
        hooks.deliver()
        assert SECRET not in str(engine.sql("SELECT * FROM history").to_dict("records"))
        assert SECRET not in str(hooks.listed().to_dict("records"))
    assert crm.messages[0].path == f"/hook/{SECRET}"


def test_redirects_are_not_followed():
    with Receiver() as inside, Receiver(lambda _: 307, {"location": inside.url}) as crm, engine_of() as engine:
        hooks = ok.webhooks(engine, [ok.Webhook(crm.url, events="run.completed", retry=FAST)], live=False)
        engine.run(ORDER, {"address": "Oslo"}, case_id="A-1")
        assert hooks.deliver()["error"].iloc[-1].startswith("answered 307: redirects are not followed")
        hooks.close()
    assert inside.messages == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("file:///etc/passwd", "not file://"),
        ("gopher://x", "not gopher://"),
        ("javascript:alert(1)", "not javascript://"),
        ("//crm.example", "begins with https://"),
        ("https://", "no host"),
        ("https://ada:hunter22@crm.example", "no user"),
        ("https://crm.example:99999", "Port out of range"),
        ("https://[::1", "is not valid: Invalid IPv6 URL"),
        ("", "begins with https://"),
    ],
)
def test_what_is_no_address_of_a_receiver_is_refused(url, said):
    with pytest.raises(ok.WorkflowError, match=said):
        ok.Webhook(url)


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "0.0.0.0"])
def test_where_machines_are_told_their_credentials_is_no_receiver(host):
    with pytest.raises(ok.WorkflowError, match="that no receiver has"):
        check_address(f"http://{host}/latest/meta-data")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "10.0.0.7", "192.168.1.1", "[::1]", "2130706433"])
def test_inside_is_refused_where_only_public_addresses_are_meant(host):
    with pytest.raises(ok.WorkflowError, match="inside"):
        check_address(f"http://{host}/", public_only=True)


def test_events_and_secrets_that_there_are_not_are_refused_with_the_nearest():
    with pytest.raises(ok.WorkflowError, match=r"no event 'run.complete'\. Did you mean 'run.completed'"):
        ok.Webhook("https://crm.example", events=["run.complete"])
    with engine_of() as engine, ok.webhooks(engine, live=False) as hooks:
        with pytest.raises(SecretError, match="Did you mean 'crm'"):
            hooks.add("https://crm.example", secret="crn")
        with pytest.raises(ok.WorkflowError, match="no webhook 'x'"):
            hooks.remove("x")
        assert hooks.listed().empty


def test_an_engine_has_its_webhooks_once():
    with Receiver() as crm, engine_of() as engine, ok.webhooks(engine) as one, ok.webhooks(engine) as two:
        assert one is two
        one.add(crm.url, events="run.completed")
        two.close()
        engine.run(ORDER, {"address": "Oslo"}, case_id="A-1")
        crm.wait_for(1)
