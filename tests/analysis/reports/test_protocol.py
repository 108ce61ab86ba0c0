"""How each task was trained, and how much of its texts was cut."""

from collections.abc import Callable

import pandas as pd

from analysis.reports import protocol
from analysis.tables import Table


def tables(frame: pd.DataFrame) -> dict[str, list[dict[str, str]]]:
    section = protocol.render(protocol.compute(frame))
    assert section is not None
    found = [block for block in section.blocks if isinstance(block, Table)]
    return {t.name: [dict(zip(t.columns, [c.text for c in row], strict=True)) for row in t.rows] for t in found}


def test_what_determines_a_result_stands_there_once_for_each_task(make_runs: Callable[..., pd.DataFrame]) -> None:
    frame = make_runs(methods=("lora", "bitfit"), tasks=("rte", "cola"))
    cut = frame["task"].map({"glue/rte": 0.441, "glue/cola": 0.0})
    frame = frame.assign(
        max_length=frame["task"].map({"glue/rte": 128, "glue/cola": 64}), train_cut=cut, dev_cut=cut / 100,
        dev_unknown=None, max_epochs=3, dropout=0.1, device="cpu", train_rows=pd.NA,
        pack_size=[1 + 3 * (i % 2) for i in range(len(frame))],
    )  # fmt: skip
    found = tables(frame)
    assert found["text_glue_roberta-base"] == [
        {"Task": "RTE", "Length in tokens": "128", "Cut, train": "44 %", "Cut, dev": "< 1 %"},
        {"Task": "CoLA", "Length in tokens": "64", "Cut, train": "0 %", "Cut, dev": "0 %"},
    ]
    assert found["protocol_glue_roberta-base"] == [
        {"Task": task, "Epochs at most": "3", "Dropout": "0.1", "Trials in a pack": "1, 4", "Device": "cpu"}
        for task in ("RTE", "CoLA")
    ]


def test_runs_that_say_nothing_of_it_have_no_such_section(make_runs: Callable[..., pd.DataFrame]) -> None:
    assert protocol.render(protocol.compute(make_runs())) is None
