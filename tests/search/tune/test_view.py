"""What a run shows: the counts and estimates of the board, the live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace

import pytest
from rich.console import Console

from search._words import duration
from search.tune.board import Board, CellState, Confirming
from search.tune.view import View
from trainables import tasks
from trainables.trial import BackboneSource, CellKey, Epoch, Pack, Protocol, Result, Trial


@dataclass(frozen=True)
class Cell:
    """The trials of a cell, of which the first so many have ended before, and packs of one for the others."""

    trials: tuple[Trial, ...]
    done: int

    @property
    def packs(self) -> tuple[Pack, ...]:
        return tuple(Pack((trial,)) for trial in self.trials[self.done :])


def cell(task: str = "glue/rte", method: str = "bitfit", seeds: int = 4, done: int = 0, backbone: str = "tiny") -> Cell:
    protocol = Protocol(epochs=3, patience=2)
    values = {"learning_rate": 0.1, "batch_size": 8}
    first = Trial(BackboneSource(backbone, backbone), tasks.get(task), method, values, 0, protocol)
    trials = tuple(replace(first, seed=seed) for seed in range(seeds))
    return Cell(trials, done)


def states(*cells: Cell) -> dict[CellKey, CellState]:
    return {one.trials[0].cell: CellState(len(one.trials), ended=one.done) for one in cells}


def result(trial: Trial, status: str = "finished", seconds: float = 10.0, reason: str = "") -> Result:
    return Result(trial.id, status, 60.0, 1, (Epoch(1, 60.0, 0.5, seconds),), 10, reason)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class TestBoard:
    def test_counts(self) -> None:
        one = cell(done=1)
        board = Board()
        board.start(states(one, cell(method="lora")))
        assert (board.total, board.done, board.running) == (8, 1, 0)
        first, second, third = one.packs
        board.started(first)
        board.started(second)
        board.epochs(first, [(first.trials[0].id, Epoch(1, 55.0, 0.5, 1.0))])
        board.epochs(second, [(second.trials[0].id, Epoch(1, math.nan, 0.5, 1.0))])
        state = board.cells["tiny", "glue/rte", "bitfit"]
        assert (state.running, state.best) == (2, 55.0)
        board.result(first.trials[0], result(first.trials[0]))
        board.result(second.trials[0], result(second.trials[0], "failed"))
        board.ended(second)
        assert (state.ended, state.running, state.failed, state.left) == (2, 0, 1, 1)
        board.started(third)
        board.ended(third)
        assert (state.running, board.done) == (0, 3), "a pack that is tried again is not done"

    def test_time_left(self) -> None:
        """Four trials of 10 s and three of 20 s are left; two at a time; half of a trial has been trained."""
        fast, slow = cell(seeds=5), cell(method="lora", seeds=4)
        board = Board()
        board.start(states(fast, slow, cell(method="adapters", seeds=1)))
        board.places = 2
        assert board.seconds_left() is None
        for one, seconds in ((fast, 10.0), (slow, 20.0)):
            board.started(one.packs[0])
            board.result(one.trials[0], result(one.trials[0], seconds=seconds))
        other_cell = 15.0  # the mean over all trials
        assert board.seconds_left() == (4 * 10 + 3 * 20 + other_cell) / 2
        board.started(fast.packs[1])
        board.epochs(fast.packs[1], [(fast.trials[1].id, Epoch(1, 50.0, 0.5, 5.0))])
        assert board.seconds_left() == (4 * 10 + 3 * 20 + other_cell - 5) / 2

    def test_the_line_of_a_run(self) -> None:
        clock = Clock()
        board = Board(clock)
        one = cell()
        board.start(states(one))
        clock.now += 75
        board.started(one.packs[0])
        assert board.line() == "0/4 trials · 1 running · 1 min 15 s elapsed"
        board.result(one.trials[0], result(one.trials[0], seconds=20.0))
        assert board.line() == "1/4 trials · 0 running · 1 min 15 s elapsed · about 1 min 00 s left"


def plain() -> tuple[View, io.StringIO]:
    out = io.StringIO()
    return View(Console(file=out, width=200), seconds=0), out


def test_plain_lines() -> None:
    one = cell(seeds=2, done=1)
    view, out = plain()
    view.start("rte", states(one))
    view.started(one.packs[0])
    view.epochs(one.packs[0], [(one.trials[1].id, Epoch(1, 55.125, 0.5, 1.0))])
    view.result(one.trials[1], result(one.trials[1], "diverged", reason="loss nan in epoch 1"))
    view.stop()
    assert out.getvalue().splitlines() == [
        "rte: 2 trials in 1 cells, 1 of them done before; 1 to train",
        "1/2 trials · 1 running · 0 s elapsed",
        f"diverged: tiny · glue/rte · bitfit (lr 0.1, seed 1, trial {one.trials[1].id}): loss nan in epoch 1",
        "tiny · glue/rte · bitfit: all 2 trials done, best 55.12",
        "2/2 trials · 0 running · 0 s elapsed",
    ]


def test_what_comes_before_the_first_pack_is_shown() -> None:
    """Plainly as a line; in a terminal with a spinner and the time, until something is in training."""
    one = cell(seeds=2)
    view, out = plain()
    view.start("rte", states(one))
    view.phase("starting Ray")
    assert out.getvalue().splitlines()[1:] == ["starting Ray"]

    now = [0.0]
    view = View(Console(file=io.StringIO(), width=80, height=20, get_time=lambda: now[0]))
    view.board.start(states(one))
    view.phase("starting Ray")
    frames = []
    for now[0] in (0.0, 0.1, 0.2):
        with view.console.capture() as captured:
            view.console.print(view.render())
        frames.append(captured.get().splitlines()[-1])
    assert all("starting Ray · 0 s elapsed" in frame for frame in frames)
    assert len(set(frames)) == 3, "it turns"
    view.started(one.packs[0])
    assert view.board.line() == "0/2 trials · 1 running · 0 s elapsed"


def test_how_many_are_done_when_a_run_is_stopped() -> None:
    one = cell(seeds=4, done=1)
    board = Board()
    board.start(states(one))
    assert board.reached == "1 of 4 trials are done"
    board.started(one.packs[0])
    board.result(one.trials[1], result(one.trials[1], "failed"))
    assert board.reached == "2 of 4 trials are done, 1 of them failed"
    board.start(states(one), at_most=True)
    assert board.reached == "1 of at most 4 trials are done"


def test_what_confirms_is_shown_beside_the_search() -> None:
    one, other = cell(seeds=2), cell(method="lora", seeds=2)
    fresh = [Pack((replace(one.trials[0], seed=seed),)) for seed in (1000, 1001)]
    view, out = plain()
    confirming = Confirming({key: CellState(2) for key in states(one, other)}, {1000, 1001})
    view.start("rte", states(one, other), confirming)
    assert "4 trials in 2 cells; 4 to train, then 4 that confirm what is selected" in out.getvalue()
    board = view.board
    for pack in one.packs:
        view.started(pack)
        view.epochs(pack, [(pack.trials[0].id, Epoch(1, 60.0, 0.5, 10.0))])
        view.result(pack.trials[0], result(pack.trials[0]))
    view.started(fresh[0])
    view.epochs(fresh[0], [(fresh[0].trials[0].id, Epoch(1, 99.0, 0.5, 2.0))])
    assert board.line().startswith("2/4 trials · 0/4 confirming · 1 running")
    assert board.seconds_left() == (2 * 10 + 2 * 10 + 2 * 10 - 2) / 1, "with the means of the search"
    view.result(fresh[0].trials[0], result(fresh[0].trials[0]))
    view.started(fresh[1])
    view.result(fresh[1].trials[0], result(fresh[1].trials[0], "failed"))
    assert board.reached == "2 of 4 trials are done, and 2 of 4 that confirm what is selected, 1 of them failed"
    assert "what is selected is confirmed on 2 fresh seeds, 1 failed" in out.getvalue()
    key = one.trials[0].cell
    assert (board.cells[key].total, board.cells[key].ended, board.cells[key].best) == (2, 2, 60.0), "the search's own"
    console = Console(width=100, file=io.StringIO())
    with console.capture() as captured:
        console.print(view.render())
    row = next(line for line in captured.get().splitlines() if "bitfit" in line).split()
    assert row[-4:] == ["2/2", "1/2", "1", "60.00"], "done, confirmed, failed, best"


def test_messages_are_text_and_not_markup() -> None:
    view, out = plain()
    view.say("a path [/tmp/x] and [bold]")
    assert out.getvalue() == "a path [/tmp/x] and [bold]\n"


def rendered(view: View, cells: tuple[Cell, ...]) -> str:
    view.board.start(states(*cells))
    with view.console.capture() as captured:
        view.console.print(view.render())
    return captured.get()


def test_the_table_leaves_out_a_backbone_that_is_the_only_one() -> None:
    view = View(Console(width=100, height=40))
    text = rendered(view, (cell(), cell(method="lora", done=4)))
    assert [line.split() for line in text.splitlines()[:3]] == [
        ["task", "method", "done", "running", "failed", "best"],
        ["glue/rte", "bitfit", "0/4", "–"],
        ["glue/rte", "lora", "4/4", "–"],
    ]
    both = rendered(View(Console(width=100, height=40)), (cell(), cell(backbone="large")))
    assert both.splitlines()[0].split()[0] == "backbone"


def test_a_narrow_terminal_cuts_names_and_not_numbers() -> None:
    cells = (cell(task="superglue/multirc", method="aot_kronecker"), cell(backbone="large", done=4))
    lines = rendered(View(Console(width=40, height=40)), cells).splitlines()
    assert lines[0].split() == ["backb…", "task", "method", "done", "best"]
    assert [line.split()[-2:] for line in lines[1:3]] == [["0/4", "–"], ["4/4", "–"]]
    assert max(map(len, lines)) <= 40


def test_a_small_terminal_shows_what_is_going_on() -> None:
    names = [name for name in tasks.names() if name.startswith(("glue", "superglue"))]
    cells = tuple(cell(task=name) for name in names)
    view = View(Console(width=100, height=12))
    view.board.start(states(*cells))
    view.started(cells[-1].packs[0])
    with view.console.capture() as captured:
        view.console.print(view.render())
    lines = captured.get().splitlines()
    assert len(lines) <= 12
    assert any(names[-1] in line and " 1 " in line for line in lines)
    assert f"and {len(cells) - 5} more cells" in captured.get()


def test_a_terminal_is_left_as_it_was() -> None:
    out = io.StringIO()
    view = View(Console(file=out, width=80, height=20, force_terminal=True))
    one = cell(seeds=1)
    view.start("s", states(one))
    view.started(one.packs[0])
    view.result(one.trials[0], result(one.trials[0]))
    view.stop()
    view.stop()
    assert "\x1b[?25l" in out.getvalue(), "the cursor was hidden"
    assert out.getvalue().rindex("\x1b[?25h") > out.getvalue().rindex("\x1b[?25l"), "and is shown again"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1 min 00 s"), (185, "3 min 05 s"), (7_620, "2 h 07 min"), (273_600, "3 d 4 h")],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_is_said_is_masked_and_no_command_to_the_terminal() -> None:
    console = Console(file=io.StringIO(), width=100)
    View(console).say("failed: [/bold]x[red] \x1b[2J http://bob:hunter2@h")
    assert console.file.getvalue() == "failed: [/bold]x[red] \\x1b[2J http://***@h\n"
