"""Asking an endpoint that fails in every way: nothing is lost, nothing is asked twice."""

import json
import threading
import time
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from deixis.curation.checks import faults_of
from deixis.curation.drafts import Draft
from deixis.curation.endpoint import (
    Endpoint,
    EndpointAuthor,
    ReplayAuthor,
    describe,
    estimate,
    read_reply,
)
from deixis.curation.entities import read_pictures
from deixis.curation.making import Order, make
from deixis.curation.rules import RuleAuthor
from deixis.curation.scenes import write_source
from deixis.curation.sets import Sampler
from deixis.errors import ConfigError, DataError

pytest.importorskip("openai", reason="the extra curate is not installed")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    path = tmp_path_factory.mktemp("m4seg")
    write_source(path, "val", worlds=6, seed=3)
    return path


@pytest.fixture(scope="module")
def groups(root):
    sampler = Sampler(read_pictures(root, "val").pictures, seed=5)
    return [sampler.draw(number) for number in range(4)]


def by_rules(group):
    drafts = RuleAuthor(seed=2).write(group)
    rows = [{"kind": d.kind, "question": d.question, "answer": d.answer} for d in drafts]
    return json.dumps({"questions": rows})


def chat(content, finish="stop"):
    message = {"role": "assistant", "content": content}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 0,
        "model": "writer",
        "choices": [{"index": 0, "finish_reason": finish, "message": message}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500},
    }


class Server(ThreadingHTTPServer):
    """Answers as a list of steps says; behind its end, as rules would write."""

    def __init__(self, groups):
        super().__init__(("127.0.0.1", 0), Handler)
        self.told = {describe(group): by_rules(group) for group in groups}
        self.steps, self.asked = [], []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        told = body["messages"][1]["content"]
        self.server.asked.append(body)
        step = self.server.steps.pop(0) if self.server.steps else "whole"
        good = self.server.told.get(told, "{}")
        if step == "hang":
            time.sleep(1.0)
        if step == "drop":
            self.send_response(200)
            self.send_header("Content-Length", "5000")
            self.end_headers()
            self.wfile.write(b'{"id": "1", "cho')
            return
        if isinstance(step, int):
            self.answer(step, {"error": {"message": "no"}})
        elif step == "no json":
            self.answer(200, "<html>busy</html>")
        else:
            texts = {"nonsense": "Sure!", "half": good[: len(good) // 2], "empty": ""}
            finish = "length" if step == "half" else "stop"
            self.answer(200, chat(texts.get(step, good), finish))

    def answer(self, status, value):
        text = (value if isinstance(value, str) else json.dumps(value)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(groups):
    server = Server(groups)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def endpoint(server, **changes):
    made = Endpoint(
        url=server.url, model="writer", budget=1.0, price_in=1.0, price_out=2.0, timeout=20, pause=0
    )
    return replace(made, **changes)


def test_a_set_is_described_and_asked_for_in_a_strict_form(server, groups, tmp_path):
    author = EndpointAuthor(endpoint(server), tmp_path / "replies.jsonl")
    drafts = author.write(groups[0])
    (asked,) = server.asked
    assert asked["response_format"]["json_schema"]["strict"] is True
    assert all(thing.word in asked["messages"][1]["content"] for thing in groups[0].things)
    assert drafts
    assert all(faults_of(draft, groups[0]) == [] for draft in drafts)
    assert author.spent == pytest.approx((1000 * 1 + 500 * 2) / 1e6)


@pytest.mark.parametrize("step", ["nonsense", "half", "empty", "drop", "no json", 500, 429])
def test_whatever_fails_once_is_asked_again_and_then_kept(server, groups, tmp_path, step):
    server.steps = [step]
    author = EndpointAuthor(endpoint(server), tmp_path / "replies.jsonl")
    assert author.write(groups[0]) == read_reply(by_rules(groups[0]))
    assert len(server.asked) == 2
    again = EndpointAuthor(endpoint(server), tmp_path / "replies.jsonl")
    assert again.write(groups[0]) == read_reply(by_rules(groups[0]))
    assert len(server.asked) == 2
    assert again.spent == pytest.approx(author.spent)


def test_a_reply_that_never_comes_is_an_error_that_says_how_to_go_on(server, groups, tmp_path):
    server.steps = ["hang", "hang"]
    slow = endpoint(server, timeout=0.3, attempts=2)
    author = EndpointAuthor(slow, tmp_path / "replies.jsonl")
    with pytest.raises(DataError, match=r"about set 0, got APITimeoutError 2 times\. Start again"):
        author.write(groups[0])
    assert author.spent == 0


def test_only_nonsense_gives_no_drafts_and_is_not_asked_for_again(server, groups, tmp_path):
    server.steps = ["nonsense"] * 2
    author = EndpointAuthor(endpoint(server, attempts=2), tmp_path / "replies.jsonl")
    assert author.write(groups[0]) == []
    assert author.write(groups[0]) == []
    assert len(server.asked) == 2


def test_what_was_paid_in_vain_counts_in_the_next_run_too(server, groups, tmp_path):
    server.steps = ["empty"] * 2
    stingy = endpoint(server, attempts=2)
    with pytest.raises(DataError, match="got an empty reply 2 times"):
        EndpointAuthor(stingy, tmp_path / "replies.jsonl").write(groups[0])
    again = EndpointAuthor(stingy, tmp_path / "replies.jsonl")
    assert again.spent == pytest.approx(2 * (1000 * 1 + 500 * 2) / 1e6)
    assert again.write(groups[0]) == read_reply(by_rules(groups[0]))  # asked for once more
    assert len(server.asked) == 3
    assert again.spent == pytest.approx(3 * (1000 * 1 + 500 * 2) / 1e6)


def test_a_refusal_stops_the_run_at_once(server, groups, tmp_path):
    server.steps = [401]
    author = EndpointAuthor(endpoint(server), tmp_path / "replies.jsonl")
    with pytest.raises(ConfigError, match=r"got status 401\. Check address, model and \$OPENAI"):
        author.write(groups[0])
    assert len(server.asked) == 1


def test_the_budget_is_not_overdrawn_and_raising_it_goes_on(server, groups, tmp_path):
    likely = estimate(groups[:1], endpoint(server))
    assert likely > 0
    poor = EndpointAuthor(endpoint(server, budget=1.2 * likely), tmp_path / "replies.jsonl")
    poor.write(groups[0])
    with pytest.raises(ConfigError, match=r"budget: expected room for .* is spent\. Raise it"):
        poor.write(groups[1])
    rich = EndpointAuthor(endpoint(server), tmp_path / "replies.jsonl")
    rich.write(groups[0])
    rich.write(groups[1])
    assert len(server.asked) == 2


def test_a_run_that_was_stopped_goes_on_and_a_replay_writes_the_same(root, groups, tmp_path):
    server = Server([])
    server.told = {}
    order = Order(root=root, split="val", sets=4, seed=5)
    sampler = Sampler(read_pictures(root, "val").pictures, seed=5)
    server.told = {describe(sampler.draw(n)): by_rules(sampler.draw(n)) for n in range(30)}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    out, replies = tmp_path / "out.json", tmp_path / "replies.jsonl"
    server.steps = ["whole", "whole", 403]
    with pytest.raises(ConfigError, match="403"):
        make(order, out, EndpointAuthor(endpoint(server), replies))
    report = make(order, out, EndpointAuthor(endpoint(server), replies), workers=2)
    assert len(server.asked) == 5  # four sets and the refusal
    assert report["records"] > 0
    server.shutdown()
    server.server_close()
    again = tmp_path / "again.json"
    make(order, again, ReplayAuthor(replies))
    assert again.read_bytes() == out.read_bytes()


def test_a_replay_of_other_pictures_is_refused(groups, tmp_path):
    replies = tmp_path / "replies.jsonl"
    replies.write_text(json.dumps({"set": 0, "told": "other", "text": "{}"}) + "\n")
    with pytest.raises(DataError, match=r"about set 0, got one about other pictures"):
        ReplayAuthor(replies).write(groups[0])
    with pytest.raises(DataError, match=r"about set 1, got none"):
        ReplayAuthor(replies).write(groups[1])


@pytest.mark.parametrize(
    "text", ["", "[]", '{"questions": []}', '{"questions": [{"kind": "spatial"}]}', '{"a": 1}']
)
def test_other_json_is_no_reply(text):
    assert read_reply(text) is None


def test_a_reply_is_read_as_drafts():
    text = '{"questions": [{"kind": "spatial", "question": "Q?", "answer": "A."}]}'
    assert read_reply(text) == [Draft(kind="spatial", question="Q?", answer="A.")]
