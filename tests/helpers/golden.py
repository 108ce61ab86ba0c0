"""Golden losses: what every method's first steps of training gave when ``RESULT_VERSION`` was last raised.

    PYTHONPATH=.:tests python -m helpers.golden

writes ``tests/trainables/golden_losses.json``. Numbers of the present ``RESULT_VERSION`` are kept as they are: they are
made anew only once the version has been raised, which says that results differ from those before. A method that the
file does not know yet (a new one) is added.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from helpers.families import save_tiny

from trainables import backbones, methods, tasks, training
from trainables.trial import RESULT_VERSION, Pack, Protocol, Trial

FILE = Path(__file__).parents[1] / "trainables" / "golden_losses.json"
FAMILIES = ("bert", "deberta_v2")
RATES = (5e-3, 2e-2)  # of the two members, whose seeds are 0 and 1
SMALL = {"rank": 2, "prompt_length": 3}
#: Six steps, two in each epoch: an epoch's loss is the mean of two steps. Dropout is in the backbone, the head and the
#: method: its numbers are ours.
PROTOCOL = Protocol(epochs=3, patience=3, max_length=64, dropout=0.1, train_rows=16, dev_rows=8)


def pack(method: str, backbone: backbones.BackboneSource, protocol: Protocol = PROTOCOL, batch_size: int = 8) -> Pack:
    """Two members, or one where the method trains one at a time."""
    kind = methods.get(method)
    small = {**SMALL, "dropout": protocol.dropout}
    own = kind.Config(**{name: value for name, value in small.items() if name in kind.Config.model_fields})
    task = tasks.resolve(tasks.get("demo/entailment"))
    values = [{"learning_rate": rate, "batch_size": batch_size, **own.model_dump()} for rate in RATES]
    return Pack(
        tuple(Trial(backbone, task, method, v, seed, protocol) for seed, v in enumerate(values[: kind.max_members]))
    )


def losses(pack: Pack, folder: Path, device: str = "cpu") -> list[list[float]]:
    """Mean loss of each epoch, for each member of a pack.

    By ``train`` itself, from texts: tokeniser, batches, initialisation, backbone, seams, head and Adam.
    """
    where = training.Workspace(str(folder / "study"), str(folder / "cache"), device=device, threads=1)
    results = {r.trial_id: r for progress in training.train(pack, where) for r in progress.results}
    return [[epoch.train_loss for epoch in results[trial.id].history] for trial in pack.trials]


def write() -> None:
    """Write the file, as said above."""
    old = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {"result_version": None}
    kept = old["losses"] if old["result_version"] == RESULT_VERSION else {}
    numbers: dict[str, dict[str, list[list[float]]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for family in FAMILIES:
            source = backbones.resolve(str(save_tiny(family, Path(folder, family))))
            for method in methods.names():
                known = kept.get(method, {}).get(family)
                numbers.setdefault(method, {})[family] = known or losses(
                    pack(method, source), Path(folder, "of", family)
                )
    FILE.write_text(
        json.dumps({"result_version": RESULT_VERSION, "losses": numbers}, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    write()
