"""Secrets never reach a row, in whatever form they come."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import orchkit as ok
from orchkit.errors import SecretError
from orchkit.store import Redactor

SECRET = 's3cr"et/ä b+'
REDACT = Redactor({"token": SECRET, "empty": ""}).text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (f"401 for Bearer {SECRET}!", "401 for Bearer ***!"),
        (json.dumps({"auth": SECRET, "n": 1}), '{"auth":"***","n":1}'),
        (json.dumps({"a": [{"b": {"c": f"x {SECRET} y"}}]}, ensure_ascii=False), '{"a":[{"b":{"c":"x *** y"}}]}'),
        (json.dumps({SECRET: 1}), '{"***":1}'),
        (json.dumps({"body": json.dumps({"auth": SECRET})}), '{"body":"{\\"auth\\": \\"***\\"}"}'),
        (f"https://host/?token={quote(SECRET, safe='')}&n=1", "https://host/?token=***&n=1"),
        (base64.b64encode(SECRET.encode()).decode(), "***"),
        ("nothing to hide", "nothing to hide"),
        (None, None),
    ],
)
def test_a_secret_is_taken_out(text, clean):
    assert REDACT(text) == clean


@pytest.mark.parametrize("user", ["a", "ab", "abc", "abcd"])
def test_a_secret_in_basic_authentication_is_taken_out(user):
    token = "hunter22-long-enough"
    header = base64.b64encode(f"{user}:{token}".encode()).decode()

    clean = Redactor({"token": token}).text(f"Basic {header}")

    assert "***" in clean
    assert header[-8:-4] not in clean


def test_a_number_that_is_a_secret_is_taken_out_and_json_stays_json():
    assert json.loads(Redactor({"pin": "123456"}).text('{"pin":123456,"n":7}')) == {"pin": "***", "n": 7}


def test_what_is_left_of_a_replacement_is_no_secret_again():
    assert "abcd" not in Redactor({"a": "abcd", "b": "wxyz"}).text("ababcdcd awxyzbcd")


def test_a_secret_that_would_be_found_everywhere_is_refused():
    with pytest.raises(SecretError, match="Secret 'pin' has 3 characters"):
        Redactor({"pin": "123"})


@settings(max_examples=100, deadline=None)
@given(st.text("sécret+/%-_.😀", min_size=4, max_size=12), st.text(max_size=10), st.text(max_size=10))
def test_no_form_of_any_secret_is_left(secret, before, after):
    redact = Redactor({"secret": secret}).text

    assert secret not in redact(before + secret + after)
    assert secret not in redact(json.dumps({"a": [before + secret + after], "k": {before: secret}}, ensure_ascii=False))


def test_a_secret_reaches_no_row_of_an_engine(tmp_path):
    secret = "correct-horse-battery"

    def pay(token):
        return {"used": token, "header": base64.b64encode(f"me:{token}".encode()).decode()}

    def ship(token):
        message = f"403 for {token}"
        raise ok.PermanentError(message)

    path = tmp_path / "a.duckdb"
    workflow = ok.workflow("order", [ok.task("pay"), ok.task("ship")])
    with ok.Engine(path, handlers={"pay": pay, "ship": ship}, secrets={"token": secret}) as engine:
        engine.run(workflow, {"token": secret, "deep": [{"er": secret}]}, case_id="A-1")
        rows = engine.sql("SELECT * FROM history").to_csv() + engine.sql("SELECT * FROM runs").to_csv()

    assert "***" in rows
    assert "403 for ***" in rows
    for form in (secret, base64.b64encode(secret.encode()).decode().rstrip("=")[:-2]):
        assert form not in rows
        assert form.encode() not in path.read_bytes()
