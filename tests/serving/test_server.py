"""``aot serve`` as people start it: a real Ray Serve, real artifacts of MiniLM, and clients of every kind at once."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from helpers.artifacts import write_artifact
from helpers.ports import free_port

from serving import artifact
from serving.engine import Engine
from serving.request import Request

pytestmark = pytest.mark.cluster

ROOT = Path(__file__).parents[2]
TOKEN = "of-clients-that-may-ask-0123"
OPTIONS = """
replicas: 2
cpus: 0.5
batch_tokens: 1000
limits: {rows: 64, bytes: 30000, queue: 4000, seconds: 120}
"""
WINNERS = (
    ("aot_fc", "glue/rte"), ("lora", "glue/rte"), ("aot_kronecker", "glue/sst-2"), ("bitfit", "superglue/copa"),
    ("p_tuning_v2", "superglue/wic"), ("aot_fc", "glue/sts-b"),
)  # fmt: skip
ROWS = [
    {"task": "glue/rte@aot_fc", "fields": {"sentence1": "A cat sleeps on a mat.", "sentence2": "An animal sleeps."}},
    {"task": "glue/rte@lora", "fields": {"sentence1": "A cat sleeps on a mat.", "sentence2": "Nobody sleeps."}},
    {"task": "glue/sst-2", "fields": {"sentence": "a film of rare warmth and no little wit"}},
    {
        "task": "superglue/copa",
        "fields": {
            "premise": "It rained.",
            "question": "effect",
            "choice1": "The street was wet.",
            "choice2": "It shone.",
        },
    },
    {"task": "superglue/wic", "fields": {"word": "bank", "sentence1": "He sat on the bank.", "sentence2": "A bank."}},
    {"task": "glue/sts-b", "fields": {"sentence1": "A man plays.", "sentence2": "A man is playing a guitar."}},
]


@dataclass(frozen=True)
class Served:
    """A server's process, its address, the folder of its artifacts and what it said on stderr."""

    process: subprocess.Popen[str]
    url: str
    folder: Path
    stderr: Path

    def ask(self, body: Any, token: str = TOKEN) -> requests.Response:
        data = {"data": body} if isinstance(body, bytes | str) else {"json": body}
        own = {"Authorization": f"Bearer {token}"} if token else {}
        return requests.post(f"{self.url}/v1/predict", timeout=150, headers=own, **data)

    def get(self, path: str) -> requests.Response:
        return requests.get(f"{self.url}{path}", timeout=60, headers={"Authorization": f"Bearer {TOKEN}"})

    def metric(self, start: str) -> float:
        """The sum of the series that begin so."""
        return sum(float(line.split()[-1]) for line in self.get("/metrics").text.splitlines() if line.startswith(start))

    def replicas(self, deployment: str) -> list[psutil.Process]:
        title = f"ray::ServeReplica:aot:{deployment}"
        found = psutil.Process(self.process.pid).children(recursive=True)
        return [each for each in found if each.is_running() and title in " ".join(_command(each))]


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture(scope="module")
def served(minilm: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("serving")
    for method, task in WINNERS:
        write_artifact(folder / "winners" / task.replace("/", "-") / method, method, task, minilm, score=70.0)
    (folder / "options.yaml").write_text(OPTIONS)
    (folder / "token").write_text(TOKEN + "\n")
    port = free_port()
    command = [sys.executable, "-m", "search.cli", "serve", str(folder / "winners"), "--port", str(port)]
    command += ["--options", str(folder / "options.yaml"), "--token-file", str(folder / "token")]
    with open(folder / "stderr", "w") as stderr:
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr, text=True, start_new_session=True
        )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"http://127.0.0.1:{port}\n", (folder / "stderr").read_text()
        yield Served(process, f"http://127.0.0.1:{port}", folder / "winners", folder / "stderr")
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(120)


@pytest.fixture(scope="module")
def engine(served: Served, minilm: Any) -> Engine:
    """The same artifacts in this process."""
    engine = Engine(minilm)
    for each in artifact.find(served.folder):
        engine.add(each)
    return engine


def test_it_listens_on_this_machine_alone_and_with_a_token(served: Served) -> None:
    port = int(served.url.rpartition(":")[2])
    found = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port == port]
    assert {connection.laddr.ip for connection in found} == {"127.0.0.1"}
    assert served.ask(ROWS[0], token="").status_code == 401
    assert served.ask(ROWS[0], token=TOKEN[:-1]).status_code == 401
    assert served.get("/readyz").json() == {"status": "ready"}
    assert len(served.get("/v1/tasks").json()["tasks"]) == len(WINNERS)


def test_mixed_rows_of_many_clients_get_the_answers_of_the_engine(served: Served, engine: Engine) -> None:
    expected = engine.predict([Request(row["task"], row["fields"]) for row in ROWS])

    def client(number: int) -> None:
        order = [(number + i) % len(ROWS) for i in range(len(ROWS))]
        answers = served.ask({"rows": [ROWS[i] for i in order], "logits": True}).json()["answers"]
        for i, answer in zip(order, answers, strict=True):
            assert answer["task"] == ROWS[i]["task"]
            assert answer["logits"] == pytest.approx(expected[i].logits, abs=1e-4)
            assert answer.get("label") == expected[i].label

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(client, range(64)))
    assert served.metric("aot_batch_rows_total") > served.metric("aot_batches_total")  # rows shared batches


HOSTILE: list[tuple[Any, int]] = [
    ("", 400), ("{", 400), ("[" * 20_000, 400), (b"\xff\x00", 400), ("[]", 422), ({"rows": 3}, 422),
    ({"rows": [ROWS[0]] * 65}, 413), (b"x" * 40_000, 413), ({"task": "glue/rte", "fields": {}}, 404),
    ({"task": "x" * 5_000, "fields": {}}, 404), ({"task": "glue/sst-2", "fields": {"sentence": ""}}, 422),
    ({"task": "glue/sst-2", "fields": {"sentence": {"a": 1}}}, 422), ({"task": "glue/sst-2", "fields": {}}, 422),
    ({"task": "glue/sst-2", "fields": {"sentence": "w " * 10_000}}, 200),
    ({"task": "glue/sst-2", "fields": {"sentence": "\x00\u202e\U0001f40d"}}, 200),
]  # fmt: skip


def test_hostile_clients_among_good_ones(served: Served, engine: Engine) -> None:
    [expected] = engine.predict([Request(ROWS[2]["task"], ROWS[2]["fields"])])
    port = int(served.url.rpartition(":")[2])
    head = f"POST /v1/predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
    good = json.dumps(ROWS[2])

    def hang_up(sent: str) -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(sent.encode())

    def hostile(number: int) -> None:
        body, status = HOSTILE[number % len(HOSTILE)]
        said = served.ask(body)
        assert said.status_code == status, (body, said.text)
        assert status == 200 or len(said.json()["error"]["reason"]) > 20
        hang_up(f"{head}Content-Length: 500\r\n\r\n{{")
        hang_up(f"{head}Content-Length: {len(good)}\r\n\r\n{good}")

    def kind(_: int) -> None:
        assert served.ask(ROWS[2]).json()["scores"] == pytest.approx(dict(expected.scores), abs=1e-4)

    with ThreadPoolExecutor(12) as pool:
        found = [pool.submit(who, i) for i in range(2 * len(HOSTILE)) for who in (hostile, kind)]
        for each in found:
            each.result()
    eventually(lambda: served.metric("aot_queue_rows") == 0)
    assert served.metric('aot_requests_total{path="/v1/predict",status="5') == 0


@pytest.mark.parametrize("deployment", ["engine", "http"])
def test_a_replica_that_is_killed_comes_back(served: Served, deployment: str) -> None:
    """A replica of the engine costs nothing, as its requests are asked again; the HTTP side at most its own."""
    before = {process.pid for process in served.replicas(deployment)}
    stop, statuses = threading.Event(), Counter[int]()

    def client(_: int) -> None:
        while not stop.is_set():
            statuses[served.ask({"rows": ROWS}).status_code] += 1

    with ThreadPoolExecutor(6) as pool:
        running = [pool.submit(client, i) for i in range(6)]
        eventually(lambda: statuses[200] > 6)
        os.kill(min(before), signal.SIGKILL)
        eventually(lambda: {p.pid for p in served.replicas(deployment)} - before and served.get("/readyz").ok)
        again = statuses[200]
        eventually(lambda: statuses[200] > again + 6)
        stop.set()
        for each in running:
            each.result()
    lost = sum(statuses.values()) - statuses[200]
    assert lost == 0 if deployment == "engine" else lost <= 6


def test_the_token_is_in_no_log(served: Served) -> None:
    session = max(Path("/tmp/ray").glob(f"session_2*_{served.process.pid}"))  # the newest: process ids come again
    files = [file for file in (session / "logs").rglob("*") if file.is_file()]
    assert files
    assert not [file for file in [*files, served.stderr] if TOKEN.encode() in file.read_bytes()]


def test_what_was_accepted_is_answered_before_the_end(served: Served) -> None:
    """The last one: Ctrl-C in a terminal, which reaches every process of the server."""
    many, replicas = {"rows": ROWS * 10}, served.replicas("engine")
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(served.ask, many) for _ in range(8)]
        eventually(lambda: served.metric("aot_queue_rows") == 8 * 60 or any(each.done() for each in answers))
        os.killpg(served.process.pid, signal.SIGINT)
        found = [each.result() for each in answers]
    assert [(each.status_code, len(each.json()["answers"])) for each in found] == [(200, 60)] * 8
    assert served.process.wait(120) == 130
    assert served.process.stdout is not None
    assert served.process.stdout.read() == ""  # Ray, too, says nothing there
    assert not [each for each in replicas if each.is_running()]


def eventually(holds: Callable[[], Any]) -> None:
    """Wait for it; the test's own limit ends what never comes."""
    while True:
        try:
            if holds():
                return
        except (requests.RequestException, ValueError):  # the HTTP side may be what is away
            pass
        time.sleep(0.1)
