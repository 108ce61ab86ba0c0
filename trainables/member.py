"""A member of a pack in training: its history, its best epoch, and when and why it ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from torch import Tensor

from trainables.checkpoint import PREDICTIONS, WEIGHTS
from trainables.patience import Patience
from trainables.trial import Epoch, Result, Status, Trial


class Member:
    """One trial while it is trained. ``status`` is None until it ends."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.status: Status | None = None
        self.reason = ""
        self.history: list[Epoch] = []
        self.best_weights: dict[str, Tensor] = {}
        self.best_predictions: np.ndarray | None = None
        self._best_metrics: dict[str, float] = {}
        self._patience = Patience(trial.protocol.patience)

    @property
    def weights_name(self) -> str:
        """Name of the best epoch's weights in the study's storage."""
        return f"{WEIGHTS}/{self.trial.id}.safetensors"

    @property
    def predictions_name(self) -> str:
        """Name of the best epoch's answers on the dev split, there."""
        return f"{PREDICTIONS}/{self.trial.id}.npz"

    @property
    def best_epoch(self) -> int | None:
        """The epoch of ``best_weights``; None where there are none."""
        return self._patience.best_epoch if self.best_weights else None

    def close_epoch(
        self,
        metrics: Mapping[str, float],
        loss: float,
        seconds: float,
        weights: Callable[[], dict[str, Tensor]],
        predictions: Callable[[], np.ndarray | None],
    ) -> Epoch:
        """Take what the epoch brought; afterwards ``status`` says whether the member has ended.

        ``weights`` and ``predictions`` are asked for what is to be kept where the epoch is the best so far.
        """
        epoch = Epoch(len(self.history) + 1, metrics["score"], loss, seconds)
        self.history.append(epoch)
        if not (math.isfinite(loss) and math.isfinite(epoch.score)):
            self.status, self.reason = "diverged", f"loss {loss} and dev score {epoch.score} in epoch {epoch.epoch}"
            return epoch
        stop = self._patience.update(epoch.score)
        if self._patience.improved:
            self.best_weights, self._best_metrics = weights(), dict(metrics)
            self.best_predictions = predictions()
        if stop or epoch.epoch >= self.trial.protocol.epochs:
            self.status = "finished"
        return epoch

    def cut_short(self) -> None:
        """End before its time; only what it reached is kept."""
        self.status, self.reason = "pruned", f"cut short after epoch {len(self.history)}, behind others of its cell"
        self.best_weights, self.best_predictions = {}, None

    def result(self, trainable_parameters: int) -> Result:
        """The outcome of an ended member; a diverged one keeps the best score that it reached."""
        if self.status is None:
            raise ValueError(f"trial {self.trial.id} has not ended")
        return Result(
            trial_id=self.trial.id,
            status=self.status,
            score=self._patience.best,
            best_epoch=self._patience.best_epoch,
            history=tuple(self.history),
            trainable_parameters=trainable_parameters,
            reason=self.reason,
            weights=self.weights_name if self.status != "pruned" and self._patience.best is not None else None,
            metrics=self._best_metrics,
        )

    def describe(self) -> dict[str, Any]:
        """What the weights' file says of itself."""
        trial = self.trial
        return {
            "trial_id": trial.id,
            "backbone": asdict(trial.backbone),
            "task": {**trial.task.identity(), **trial.task.reading()},
            "method": trial.method,
            "hyperparameters": dict(trial.hyperparameters),
            "seed": trial.seed,
            "protocol": asdict(trial.protocol),
            "score": self._patience.best,
            "best_epoch": self._patience.best_epoch,
        }

    def dump(self) -> dict[str, Any]:
        """Plain data from which ``load`` makes the same member again, but for what is kept of its best epoch."""
        return {
            "status": self.status,
            "reason": self.reason,
            "metrics": self._best_metrics,
            "history": [asdict(epoch) for epoch in self.history],
        }

    def load(
        self, state: Mapping[str, Any], best_weights: dict[str, Tensor], best_predictions: np.ndarray | None
    ) -> None:
        """Become the member that was dumped."""
        self.status, self.reason = state["status"], state["reason"]
        self.history = [Epoch(**epoch) for epoch in state["history"]]
        self._best_metrics, self.best_weights = state["metrics"], best_weights
        self.best_predictions = best_predictions
        for epoch in self.history:
            if math.isfinite(epoch.train_loss):
                self._patience.update(epoch.score)
