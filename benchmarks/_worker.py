"""What the processes of a benchmark have in common: commands and answers are lines of JSON, over pipes."""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol


class Answering(Protocol):
    """What a process does for a command."""

    def answer(self, command: dict[str, Any]) -> dict[str, Any]: ...


def serve(make: Callable[[Any, str], Answering]) -> None:
    """Answer until the pipe closes; ``make(way, device)`` is called once, before the first command.

    The first argument names the job, a pickle of ``(way, device, threads)``.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    with open(sys.argv[1], "rb") as file:
        way, device, threads = pickle.load(file)
    import torch

    torch.set_num_threads(threads)
    worker = make(way, device)
    print(json.dumps({"ready": time.time()}), file=answers, flush=True)
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except Exception as error:  # told to whoever measures, who goes on with the next way
            answer = {"error": f"{type(error).__name__}: {error}"[:500]}
        print(json.dumps(answer), file=answers, flush=True)
