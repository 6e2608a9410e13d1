"""Signatures of webhooks: what libraries of others sign is taken, and nothing else."""

from __future__ import annotations

import pytest

from orchkit.errors import SecretError, SignatureError
from orchkit.operations.signatures import key_of, new_secret, sign, signed_headers, verify

# The vector that the reference libraries of Standard Webhooks are tested with.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID, MOMENT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
HEADERS = {"webhook-id": ID, "webhook-timestamp": str(MOMENT), "webhook-signature": SIGNATURE}


def refused(headers, body=BODY, now=MOMENT, secret=SECRET):
    with pytest.raises(SignatureError) as caught:
        verify(secret, headers, body, now=now)
    return caught.value.reason


def test_the_vector_of_the_reference_libraries_is_signed_and_taken():
    assert sign(SECRET, ID, MOMENT, BODY) == SIGNATURE
    assert verify(SECRET, HEADERS, BODY, now=MOMENT).id == ID


def test_the_worked_example_of_the_authors_of_the_standard_is_signed_and_taken():
    secret, body = "whsec_plJ3nmyCDGBKInavdOK15jsl", b'{"event_type":"ping","data":{"success":true}}'
    headers = signed_headers(secret, "msg_loFOjxBNrRLzqYUf", 1731705121, body)

    assert headers["webhook-signature"] == "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="
    assert verify(secret, headers, body, now=1731705121).timestamp == 1731705121


def test_headers_are_the_same_in_any_case():
    assert verify(SECRET, {name.title(): text for name, text in HEADERS.items()}, BODY, now=MOMENT).timestamp == MOMENT


def test_while_a_secret_is_changed_both_are_taken_and_both_sign():
    new = new_secret()
    both = signed_headers([new, SECRET], ID, MOMENT, BODY)

    assert both["webhook-signature"].split(" ")[1] == SIGNATURE
    assert [verify(secret, both, BODY, now=MOMENT).id for secret in (new, SECRET, [new, "hunter22"])] == [ID] * 3
    assert verify([new, SECRET], HEADERS, BODY, now=MOMENT).id == ID


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_a_header_that_is_missing_or_empty_is_refused(name):
    assert refused({key: text for key, text in HEADERS.items() if key != name}) == "signature-missing"
    assert refused({**HEADERS, name: ""}) == "signature-missing"


@pytest.mark.parametrize(
    "headers",
    [
        {"webhook-id": "a.b"},
        {"webhook-id": "a b"},
        {"webhook-id": "é"},
        {"webhook-id": "a" * 257},
        {"webhook-timestamp": "161426533.0"},
        {"webhook-timestamp": "-1614265330"},
        {"webhook-timestamp": "١٦١٤٢٦٥٣٣٠"},
        {"webhook-timestamp": "9" * 13},
    ],
)
def test_a_header_that_makes_no_sense_is_refused(headers):
    assert refused({**HEADERS, **headers}) == "signature-malformed"


@pytest.mark.parametrize(
    "signature",
    [
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=",
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1O",
        "v1,g0hM9SsE",
        "v1,",
        "v1",
        "v1,not base64 at all",
        "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "v1,é",
    ],
)
def test_a_signature_of_another_or_of_wrong_length_is_refused(signature):
    assert refused({**HEADERS, "webhook-signature": signature}) == "signature-forged"


def test_of_several_signatures_one_that_is_right_suffices():
    several = f"v1a,AAAA v1,bm9wZQ== {SIGNATURE} v2,x"

    assert verify(SECRET, {**HEADERS, "webhook-signature": several}, BODY, now=MOMENT).id == ID


def test_another_body_id_time_or_secret_is_refused():
    assert refused(HEADERS, BODY + b" ") == "signature-forged"
    assert refused({**HEADERS, "webhook-id": "msg_another"}) == "signature-forged"
    assert refused({**HEADERS, "webhook-timestamp": "1614265331"}) == "signature-forged"
    assert refused(HEADERS, secret=[]) == "signature-forged"
    assert refused(HEADERS, secret=new_secret()) == "signature-forged"


def test_what_was_signed_long_ago_or_in_times_to_come_is_refused():
    assert [verify(SECRET, HEADERS, BODY, now=MOMENT + off).timestamp for off in (-300, 300)] == [MOMENT] * 2
    assert [refused(HEADERS, now=MOMENT + off) for off in (-301, 301)] == ["signature-stale"] * 2


def test_a_secret_that_is_none_is_refused_and_not_told():
    for secret in ("whsec_not base64!", "whsec_AAAA", "short"):
        with pytest.raises(SecretError) as caught:
            key_of(secret)
        assert secret not in str(caught.value)
