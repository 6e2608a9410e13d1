from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import orchkit as ok

SCHEMA = {"type": "object", "properties": {"risk": {"enum": ["low", "high"]}}, "required": ["risk"]}


class Model(BaseHTTPRequestHandler):
    """A local server that speaks the protocol: its answers are given beforehand."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers, body))
        message = self.server.answers.pop(0)
        reply = {
            "model": "small-1",
            "choices": [{"message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 500},
        }
        whole = message.pop("whole", reply)  # instead of the usual reply
        text = whole if isinstance(whole, bytes) else json.dumps(whole).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


@pytest.fixture
def model():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    server.asked, server.answers = [], []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def ask(server, **more):
    settings = {
        "url": f"http://127.0.0.1:{server.server_port}/v1",
        "model": "small",
        "prompt": "How risky is ${order.text}?",
        "api_key": "${secrets.key}",
        "prices": {"in": 1.0, "out": 2.0},
        **more,
    }
    retry = ok.Retry(max_attempts=3, initial_delay="0s", multiplier=1)
    workflow = ok.workflow("w", [ok.task("judge", executor="ai", settings=settings)], retry=retry)
    with ok.Engine(secrets={"key": "sk-very-secret-0815"}) as engine:
        run = engine.run(workflow, {"order": {"text": "a yacht"}}, case_id="A")
        return run.status.value, run.variables.get("judge"), run.error, run.steps(), run.history()


def test_the_answer_comes_with_tokens_and_cost(model):
    model.answers = [{"content": "Very."}]

    _, result, _, _, history = ask(model)

    expected = {"answer": "Very.", "model": "small-1", "tokens_in": 1000, "tokens_out": 500, "cost": 0.002}
    assert result == expected
    path, headers, body = model.asked[0]
    assert (path, headers["Authorization"]) == ("/v1/chat/completions", "Bearer sk-very-secret-0815")
    assert body["messages"] == [{"role": "user", "content": "How risky is a yacht?"}]
    assert "sk-very-secret-0815" not in history.to_csv()
    assert '"cost":0.002' in history.to_csv().replace('""', '"').replace(" ", "")


def test_a_schema_gives_a_value_and_an_answer_that_does_not_fit_is_asked_again(model):
    model.answers = [{"content": "high"}, {"content": '{"risk": "medium"}'}, {"content": '{"risk": "high"}'}]

    _, result, _, steps, _ = ask(model, schema=SCHEMA)

    assert result["answer"] == {"risk": "high"}
    assert list(steps["error_message"].dropna()) == [
        "The answer is not JSON: high",
        "The answer does not fit the schema at $.risk: 'medium' is not one of ['low', 'high']",
    ]
    assert model.asked[0][2]["response_format"]["json_schema"]["schema"] == SCHEMA


def test_a_refusal_is_asked_again_and_then_fails(model):
    model.answers = [{"content": None, "refusal": "I cannot say"}] * 3

    status, _, error, steps, _ = ask(model)

    assert (status, len(steps)) == ("DEAD_LETTERED", 3)
    assert error.message == "The model refused: I cannot say."


def choice(content, reason="stop", **more):
    return {"choices": [{"message": {"content": content, **more}, "finish_reason": reason}]}


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (b'{"choices": [{"mess', "answered with broken JSON"),
        ({"choices": []}, "answered without a choice"),
        ({"choices": [{"message": None}]}, "answered without a choice"),
        ({"error": {"message": "overloaded"}}, "answered with an error: {'message': 'overloaded'}"),
        (choice(None, "tool_calls", tool_calls=[{}]), "The model refused: it asks for a tool, and was given none."),
        (choice("", "content_filter"), "The model refused: its filter took the answer out."),
        (choice("half", "length"), "The answer was cut off: raise max_tokens."),
        (choice(7), "The model refused: it gave no answer."),
    ],
)
def test_an_odd_reply_is_said_in_words_and_asked_again(model, reply, message):
    model.answers = [{"whole": reply}, {"content": "Very."}]

    status, result, _, steps, _ = ask(model)

    assert (status, result["answer"]) == ("COMPLETED", "Very.")
    assert message in steps["error_message"].dropna().item()


def test_an_answer_in_parts_is_one_text_and_tokens_that_are_not_told_are_none(model):
    model.answers = [{"whole": choice([{"type": "text", "text": "Ve"}, {"text": "ry."}]) | {"usage": [1]}}]

    assert ask(model)[1] == {"answer": "Very.", "model": "small", "tokens_in": 0, "tokens_out": 0, "cost": 0.0}


def test_prices_that_make_no_sense_are_refused_before_anything_is_asked(model):
    status, _, error, _, _ = ask(model, prices={"in": 1})

    assert (status, error.message) == (
        "FAILED",
        "Task 'judge' (ai): prices are two numbers, such as {in: 0.5, out: 1.5}.",
    )
    assert model.asked == []
