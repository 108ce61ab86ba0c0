"""The HTTP side over a real engine: statuses, sentences, limits, tokens, and ending."""

from __future__ import annotations

import asyncio
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from helpers.artifacts import write_artifact
from helpers.serving import Running, running

from serving import artifact
from serving.engine import Engine
from serving.options import Limits
from serving.request import Request

TOKEN = "a-token-of-many-letters"
RTE = {"task": "glue/rte", "fields": {"sentence1": "a cat sleeps", "sentence2": "an animal sleeps"}}
STSB = {"task": "glue/sts-b", "fields": {"sentence1": "a cat", "sentence2": "a dog"}}


@pytest.fixture(scope="module")
def engine(source: Callable, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """Three tasks of three methods on a tiny backbone."""
    folder = tmp_path_factory.mktemp("winners")
    for method, task in (("aot_fc", "glue/rte"), ("lora", "glue/sts-b"), ("bitfit", "superglue/copa")):
        write_artifact(folder / method, method, task, source("bert"), score=70.0)
    engine = Engine(source("bert"))
    for each in artifact.find(folder):
        engine.add(each)
    return engine


@pytest.fixture(scope="module")
def server(engine: Engine) -> Iterator[Running]:
    with running(engine, Limits(rows=4, bytes=2_000, queue=6, seconds=30)) as server:
        yield server


def ask(server: Running, body: Any, **options: Any) -> requests.Response:
    data = {"data": body} if isinstance(body, bytes | str) else {"json": body}
    return requests.post(f"{server.url}/v1/predict", timeout=60, **data, **options)


def error(response: requests.Response, status: int) -> dict[str, str]:
    """The error of an answer, which has this status and holds nothing else."""
    assert response.status_code == status, response.text
    assert response.json().keys() <= {"error", "task"}
    found = response.json()["error"]
    assert found.keys() == {"rule", "reason"}
    return found


def test_one_row_is_what_the_engine_says(server: Running, engine: Engine) -> None:
    [expected] = engine.predict([Request(RTE["task"], RTE["fields"])])
    said = ask(server, RTE | {"logits": True})
    assert said.status_code == 200
    assert said.json() == {
        "task": "glue/rte", "label": expected.label, "scores": pytest.approx(expected.scores), "cut": False,
        "logits": pytest.approx(expected.logits),
    }  # fmt: skip


def test_wrong_rows_among_good_ones_answer_in_their_places(server: Running) -> None:
    said = ask(server, {"rows": [RTE, {"task": "no", "fields": {}}, 7, STSB]}).json()["answers"]
    assert [row.get("error", {}).get("rule") for row in said] == [None, "unknown_task", "wrong_row", None]
    assert said[0]["scores"].keys() == {"entailment", "not_entailment"}
    assert isinstance(said[3]["value"], float)


@pytest.mark.parametrize(
    ("body", "status", "rule"),
    [
        ({"task": "glue/rtee", "fields": {}}, 404, "unknown_task"),
        ({"task": "glue/rte", "fields": {"sentence1": "x"}}, 422, "missing_field"),
        ({"task": "glue/rte", "fields": {"sentence1": "x", "sentence2": " "}}, 422, "empty_text"),
        ({"task": "glue/rte", "fields": {"sentence1": "x", "sentence2": ["y"]}}, 422, "not_text"),
        ({"rows": [RTE] * 5}, 413, "too_many_rows"),
        ("{", 400, "wrong_json"),
        ("x" * 2_001, 413, "too_many_bytes"),
    ],
)
def test_what_is_wrong_is_said(server: Running, body: Any, status: int, rule: str) -> None:
    found = error(ask(server, body), status)
    assert found["rule"] == rule
    assert len(found["reason"]) > 20


def test_a_body_without_a_length_is_counted_as_it_comes(server: Running) -> None:
    found = requests.post(f"{server.url}/v1/predict", data=iter([b"x" * 1_500] * 3), timeout=60)
    assert error(found, 413)["rule"] == "too_many_bytes"


def test_paths_and_methods_that_are_none(server: Running) -> None:
    assert error(requests.get(f"{server.url}/v2", timeout=60), 404)["rule"] == "unknown_path"
    assert error(requests.get(f"{server.url}/v1/predict", timeout=60), 405)["rule"] == "wrong_method"
    assert error(ask(server, b"x", headers={"Content-Encoding": "gzip"}), 415)["rule"] == "compressed"


def test_a_client_that_goes_away_harms_nobody(server: Running) -> None:
    port = int(server.url.rpartition(":")[2])
    for sent in (
        b"",
        b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
        b"\x16\x03\x01 garbage\r\n\r\n",
    ):
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(sent)
    assert ask(server, RTE).status_code == 200
    while not (counted := re.findall(r'path="/v1/predict",status="(499|500)"', server.server.metrics.text().decode())):
        time.sleep(0.01)
    assert set(counted) == {"499"}, "it is no fault of the server's"


def test_what_is_served_and_that_it_is(server: Running) -> None:
    said = requests.get(f"{server.url}/v1/tasks", timeout=60).json()
    assert {task["name"]: task["fields"] for task in said["tasks"]} == {
        "glue/rte": ["sentence1", "sentence2"], "glue/sts-b": ["sentence1", "sentence2"],
        "superglue/copa": ["premise", "choice1", "choice2", "question"],
    }  # fmt: skip
    assert requests.get(f"{server.url}/healthz", timeout=60).json() == {"status": "alive"}
    assert requests.get(f"{server.url}/readyz", timeout=60).json() == {"status": "ready"}


def test_the_openapi_description(server: Running) -> None:
    paths = requests.get(f"{server.url}/openapi.json", timeout=60).json()["paths"]
    assert set(paths) == {"/v1/predict", "/v1/tasks", "/metrics", "/healthz", "/readyz"}
    assert paths["/v1/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]["oneOf"]


def test_metrics_count(engine: Engine) -> None:
    with running(engine) as server:
        ask(server, {"rows": [RTE, RTE, STSB, {"task": "made up", "fields": {}}]})
        ask(server, "{")
        requests.get(f"{server.url}/made/up", timeout=60)
        lines = requests.get(f"{server.url}/metrics", timeout=60).text.splitlines()
    for line in (
        'aot_requests_total{path="/v1/predict",status="200"} 1.0',
        'aot_requests_total{path="/v1/predict",status="400"} 1.0',
        'aot_requests_total{path="other",status="404"} 1.0',
        'aot_rows_total{task="glue/rte"} 2.0',
        'aot_rows_total{task="glue/sts-b"} 1.0',
        'aot_refused_rows_total{rule="unknown_task"} 1.0',
        "aot_queue_rows 0.0",
        'aot_request_seconds_count{path="/v1/predict"} 2.0',
    ):
        assert line in lines
    assert not any("made" in line for line in lines)  # what clients make up is no label


class TestAFullQueue:
    """The engine's lock is held, so that rows wait for as long as a test wants."""

    def test_whoever_comes_next_is_told_to_come_again(self, server: Running, engine: Engine) -> None:
        with engine._computing:
            waiting = [held(server, {"rows": [RTE] * 3}), held(server, {"rows": [STSB] * 3})]
            until(lambda: server.server._queued == 6)
            refused = ask(server, RTE)
            assert error(refused, 429)["rule"] == "queue_full"
            assert int(refused.headers["Retry-After"]) >= 1
        assert [len(answer().json()["answers"]) for answer in waiting] == [3, 3]
        assert ask(server, RTE).status_code == 200

    def test_an_answer_that_takes_too_long_is_not_waited_for(self, engine: Engine) -> None:
        with running(engine, Limits(seconds=0.2)) as server:
            with engine._computing:
                assert error(ask(server, RTE), 503)["rule"] == "too_slow"
            assert server.server._queued == 0

    def test_what_was_accepted_is_answered_before_the_end(self, engine: Engine) -> None:
        with running(engine) as server:
            with engine._computing:
                waiting = held(server, {"rows": [RTE, STSB]})
                until(lambda: server.server._queued == 2)
                ending = asyncio.run_coroutine_threadsafe(server.server.drain(), server.loop)
                until(lambda: server.server._ending)
                assert error(ask(server, RTE), 503)["rule"] == "ending"
                assert error(requests.get(f"{server.url}/readyz", timeout=60), 503)["rule"] == "ending"
                assert not ending.done()
            ending.result(60)
            assert waiting().status_code == 200


class TestATokenIsWanted:
    @pytest.fixture(scope="class")
    def server(self, engine: Engine) -> Iterator[Running]:
        with running(engine, token=TOKEN) as server:
            yield server

    @pytest.mark.parametrize(
        "header",
        [None, "", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer é"],
    )
    @pytest.mark.parametrize("path", ["/v1/predict", "/v1/tasks", "/metrics"])
    def test_without_it_nothing_is_said(self, server: Running, path: str, header: str | None) -> None:
        headers = {} if header is None else {"Authorization": header.encode()}
        method = "POST" if path == "/v1/predict" else "GET"
        said = requests.request(method, f"{server.url}{path}", json=RTE, headers=headers, timeout=60)
        assert error(said, 401)["rule"] == "wrong_token"
        assert said.headers["WWW-Authenticate"] == "Bearer"
        assert TOKEN not in said.text

    def test_with_it_all_is(self, server: Running) -> None:
        own = {"Authorization": f"Bearer {TOKEN}"}
        assert ask(server, RTE, headers=own).status_code == 200
        assert requests.get(f"{server.url}/v1/tasks", headers=own, timeout=60).status_code == 200

    def test_pages_and_probes_need_none(self, server: Running) -> None:
        for path in ("/", "/docs", "/openapi.json", "/healthz", "/readyz"):
            assert requests.get(f"{server.url}{path}", timeout=60).status_code == 200, path


def held(server: Running, body: Any) -> Callable[[], requests.Response]:
    """A request in a thread; its answer, once it is asked for."""
    found: list[requests.Response] = []
    thread = threading.Thread(target=lambda: found.append(ask(server, body)))
    thread.start()

    def answer() -> requests.Response:
        thread.join()
        return found[0]

    return answer


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    while not condition():
        pause.wait(0.005)


def test_the_pages_ask_nothing_of_anybody_else() -> None:
    for page in (Path(__file__).parents[2] / "serving").glob("*.html"):
        text = page.read_text()
        assert "http://" not in text, page
        assert "https://" not in text, page


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
class TestThePage:
    @pytest.fixture(scope="class")
    def browser(self) -> Iterator[Any]:
        sync_api = pytest.importorskip("playwright.sync_api")
        with sync_api.sync_playwright() as play:
            browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            yield browser
            browser.close()

    @pytest.fixture
    def page(self, browser: Any) -> Iterator[Any]:
        page = browser.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda fault: faults.append(str(fault)))
        page.on("request", lambda asked: faults.append(asked.url) if "127.0.0.1" not in asked.url else None)
        yield page
        page.close()
        assert not faults

    def test_a_person_asks_and_sees_scores(self, server: Running, page: Any) -> None:
        page.goto(server.url)
        page.select_option("#task", "glue/rte")
        for name, text in RTE["fields"].items():
            page.fill(f"textarea[name={name}]", text)
        page.click("#send")
        page.wait_for_selector(".score")
        expected = ask(server, RTE).json()
        assert page.inner_text(".said") == expected["label"]
        shown = dict(zip(page.locator(".score div span:first-child").all_inner_texts(), widths(page), strict=True))
        assert shown == pytest.approx({label: 100 * score for label, score in expected["scores"].items()}, abs=0.1)

    def test_a_text_that_is_refused_is_said_as_text(self, server: Running, page: Any) -> None:
        page.goto(server.url)
        page.select_option("#task", "superglue/copa")
        for area in page.locator("#fields textarea").all():
            area.fill("<img src=x onerror=alert(1)>")
        page.click("#send")
        page.wait_for_selector("#fault:not([hidden])")
        assert "question" in page.inner_text("#fault")
        assert page.locator("#fault img").count() == 0

    def test_a_regression_is_a_number(self, server: Running, page: Any) -> None:
        page.goto(server.url)
        page.select_option("#task", "glue/sts-b")
        for area in page.locator("#fields textarea").all():
            area.fill("a cat")
        page.keyboard.press("Control+Enter")
        page.wait_for_selector(".said")
        assert float(page.inner_text(".said")) == pytest.approx(
            ask(server, {"task": "glue/sts-b", "fields": {"sentence1": "a cat", "sentence2": "a cat"}}).json()["value"],
            abs=1e-3,
        )

    def test_a_token_opens_the_door(self, engine: Engine, page: Any) -> None:
        with running(engine, token=TOKEN) as server:
            page.goto(server.url)
            page.fill("#token", "another one")
            page.press("#token", "Enter")
            page.wait_for_selector("#fault:not([hidden])")
            page.fill("#token", TOKEN)
            page.press("#token", "Enter")
            page.wait_for_selector("#both:not([hidden])")
            assert page.locator("#task option").count() == 3

    def test_the_interface_is_described(self, server: Running, page: Any) -> None:
        page.goto(f"{server.url}/docs")
        page.wait_for_selector("section")
        assert "POST/v1/predict" in page.locator("section h2").first.inner_text().replace(" ", "")


def widths(page: Any) -> list[float]:
    return [float(style.removeprefix("width: ").rstrip("%;")) for style in (
        bar.get_attribute("style") for bar in page.locator(".track i").all()
    )]  # fmt: skip
