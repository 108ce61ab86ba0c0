"""A report's page in a real Chromium, for the tests of what a reader sees and does."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from analysis.report import write_report
from analysis.reports import MethodInfo, Options

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="session")
def address(make_runs: Callable, methods: dict[str, MethodInfo], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A report of all of GLUE on one backbone and two tasks on a larger one, with lost trials, beside the paper."""
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    tasks = ("sts-b", "sst-2", "rte", "qqp", "qnli", "mrpc", "mnli", "cola")
    small = make_runs(tasks=tasks, seeds=2, losses=0.1)
    large = make_runs("superglue", "deberta-xl", ("lora", "aot_fc"), ("rte", "cb"), 2)
    out = tmp_path_factory.mktemp("page")
    return write_report(pd.concat([small, large]), out, Options(paper=True, methods=methods)).as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of a module: Playwright's loop would be in the way of other tests'."""
    sync_api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs Chromium")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """The page at 1600 pixels; at the end, nothing was asked of a network and nothing went wrong."""
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    faults: list[str] = []
    page.on("console", lambda message: faults.append(message.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("request", lambda request: faults.append(request.url) if request.url != address else None)
    page.goto(address)
    yield page
    page.close()
    assert not faults
