"""What a valid study holds. Frozen; every default is here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trainables.tasks import Task
from trainables.trial import BackboneSource, Precision, Protocol

_STRICT = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

#: Ray counts in parts of a ten-thousandth; no machine has so many CPUs or GPUs.
LEAST_PART, MOST_OF_A_NODE = 1e-4, 10_000
MOST_PACK_TOKENS = 10**9

PositiveInt = Annotated[int, Field(ge=1, le=10**9)]

#: On so many a winner is trained once more, at most; see ``_confirmation.py``.
MOST_FRESH_SEEDS = 100


class Range(BaseModel):
    """All values from ``low`` to ``high``, both included; evenly in the logarithm if ``log``. Not for a grid.

    A range between two ``int`` holds whole numbers only.
    """

    model_config = _STRICT

    low: float
    high: float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Range:
        if not self.low < self.high:
            raise ValueError(f"low must be smaller than high, but got low={self.low:g} and high={self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"low must be greater than 0 where log is true, but got low={self.low:g}")
        return self

    @property
    def whole(self) -> bool:
        """Whether only whole numbers lie in the range."""
        return isinstance(self.low, int)

    def of_whole_numbers(self) -> Range:
        """The same range between whole ends."""
        return self.model_copy(update={"low": int(self.low), "high": int(self.high)})


#: The values that a hyperparameter may take: those listed, or all of a range.
Grid = tuple[Any, ...] | Range
Grids = Mapping[str, Grid]


class ProtocolSettings(BaseModel):
    """How every trial is trained. Lengths in tokens; ``None`` for epochs and patience: the task's own."""

    model_config = _STRICT

    max_length: int = Field(128, ge=8, le=8192)
    precision: Precision = "float32"
    dropout: float | None = Field(None, ge=0, lt=1)
    epochs: PositiveInt | None = None
    patience: PositiveInt | None = None
    train_rows: PositiveInt | None = None
    dev_rows: PositiveInt | None = None


class Override(BaseModel):
    """What is different for one task. ``None``: as everywhere else."""

    model_config = _STRICT

    learning_rate: Any = None
    batch_size: Any = None
    methods: Any = None
    max_length: int | None = Field(None, ge=8, le=8192)
    epochs: PositiveInt | None = None
    patience: PositiveInt | None = None
    train_rows: PositiveInt | None = None
    dev_rows: PositiveInt | None = None


class TaskOverride(BaseModel):
    """An ``Override`` that was read: ``shared`` learning rates and batch sizes, grids per method, protocol values."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    shared: Grids = {}
    methods: Mapping[str, Grids] = {}
    protocol: Mapping[str, int] = {}


class EarlyStopping(BaseModel):
    """A rule of Ray Tune that cuts trials short by comparison with others of their cell, beside patience.

    ``grace_epochs``: no trial is cut short before it; ``reduction_factor``: of ASHA, one in so many goes on.
    """

    model_config = _STRICT

    rule: Literal["asha", "median"]
    grace_epochs: PositiveInt = 1
    reduction_factor: float = Field(3, gt=1, le=1000)

    @model_validator(mode="after")
    def _has_an_effect(self) -> EarlyStopping:
        if self.rule == "median" and "reduction_factor" in self.model_fields_set:
            raise ValueError("must not have reduction_factor with rule: median, which has none; leave it out")
        return self


class Budget(BaseModel):
    """Where a search stops, whatever is left of it; ``None``: nowhere.

    ``trials`` and ``device_hours`` (GPU hours of packs on a GPU, else CPU hours) count earlier runs of the study,
    ``hours`` of wall time this run alone.
    """

    model_config = _STRICT

    trials: PositiveInt | None = None
    device_hours: float | None = Field(None, gt=0)
    hours: float | None = Field(None, gt=0)

    @property
    def words(self) -> str:
        """The limits in a few words; empty without any."""
        limits = ((self.trials, "trials"), (self.device_hours, "device-hours"), (self.hours, "hours"))
        return ", ".join(f"{limit:g} {unit}" for limit, unit in limits if limit is not None)


class Search(BaseModel):
    """How assignments are chosen in a cell and what is spent on them.

    ``strategy``: every assignment of the grid, or ``n`` drawn at random, or ``n`` proposed by TPE. ``promote``: the
    part of a cell's assignments that gets all seeds, by the scores of the first one; ``None``: all of them.
    """

    model_config = _STRICT

    strategy: Literal["grid", "random", "tpe"] = "grid"
    n: PositiveInt | None = None
    seed: int = Field(0, ge=0, lt=2**32)
    promote: float | None = Field(None, gt=0, le=1)
    early_stopping: EarlyStopping | None = None
    budget: Budget = Budget()

    @field_validator("promote")
    @classmethod
    def _part(cls, value: float | None) -> float | None:
        return None if value == 1 else value  # all seeds for all assignments, as without it

    @field_validator("early_stopping", mode="before")
    @classmethod
    def _named(cls, value: Any) -> Any:
        if value is not None and not isinstance(value, str | dict | EarlyStopping):
            raise ValueError("must be asha, median, or a mapping of rule, grace_epochs and reduction_factor")
        return {"rule": value} if isinstance(value, str) else value

    @property
    def open_ended(self) -> bool:
        """Whether scores decide which trials there are."""
        return self.strategy == "tpe" or self.promote is not None

    @property
    def words(self) -> str:
        """The search in a few words, as its keys are called in a study; the budget is not among them."""
        parts = [self.strategy if self.n is None else f"{self.strategy} {self.n}"]
        if self.promote is not None:
            parts.append(f"promote {self.promote:g}")
        if self.early_stopping is not None:
            parts.append(self.early_stopping.rule)
        return ", ".join(parts)


class Resources(BaseModel):
    """What one pack of trials takes. ``gpu``: ``auto`` is one where there are any. ``pack_tokens``: tokens per training
    step, at most; ``measured``: as many members as pay on the device; ``None``: that on a GPU, else packs of one.

    ``concurrent_packs``: at most so many packs of the study at once; ``None``: a fair share of the cluster.
    """

    model_config = _STRICT

    cpu: float = Field(1, ge=LEAST_PART, le=MOST_OF_A_NODE)
    gpu: float | Literal["auto"] = "auto"
    pack_tokens: int | Literal["measured"] | None = None
    concurrent_packs: PositiveInt | None = None

    @field_validator("gpu", mode="before")
    @classmethod
    def _amount_or_auto(cls, value: Any) -> Any:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value != "auto" and not (number and 0 <= value < math.inf):
            raise ValueError("must be auto, or a number of GPUs that is 0 or greater")
        if number and not (value == 0 or LEAST_PART <= value <= MOST_OF_A_NODE):
            raise ValueError(f"must be auto, 0, or from {LEAST_PART:g} to {MOST_OF_A_NODE:,}")
        return value

    @field_validator("pack_tokens", mode="before")
    @classmethod
    def _tokens_or_measured(cls, value: Any) -> Any:
        whole = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_PACK_TOKENS
        if not (whole or value in ("measured", None)):
            raise ValueError(f"must be measured, or a number of tokens from 0 to {MOST_PACK_TOKENS:,}")
        return value

    @property
    def measured(self) -> bool:
        """Whether packs are as large as pays on the device that trains them."""
        return self.pack_tokens == "measured" or (self.pack_tokens is None and self.gpus > 0)

    @property
    def part(self) -> float:
        """What a pack takes of a device: of a GPU, or CPU threads."""
        return self.gpus or float(self.threads)

    @property
    def threads(self) -> int:
        """CPU threads of a pack."""
        return max(1, int(self.cpu))

    @property
    def gpus(self) -> float:
        """GPUs of a pack; none while ``auto`` is not decided."""
        return 0.0 if self.gpu == "auto" else self.gpu

    def decided(self, *, gpus_there: bool) -> Resources:
        """``auto`` decided: one GPU for a pack where there are any, else none."""
        return self.model_copy(update={"gpu": float(gpus_there)}) if self.gpu == "auto" else self


class Keep(BaseModel):
    """What the storage takes of a trial beside its best weights. ``predictions``: its answers on dev at that epoch."""

    model_config = _STRICT

    predictions: bool = True


class Study(BaseModel):
    """A study that was validated whole: which trials there are, how they are trained, and where they are logged.

    ``confirm``: the number of fresh seeds on which each cell's winner is trained after its search.
    """

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    name: str
    description: str = ""
    backbones: tuple[BackboneSource, ...]
    tasks: tuple[Task, ...]
    methods: Mapping[str, Grids]
    defaults: Grids = {}
    overrides: Mapping[str, TaskOverride] = {}
    seeds: tuple[int, ...] = (0,)
    protocol: ProtocolSettings = ProtocolSettings()
    search: Search = Search()
    confirm: int = 0
    resources: Resources = Resources()
    keep: Keep = Keep()
    tracking: str
    storage: str
    data_dir: str | None = None
    text: str = ""  # the file, without what is secret in it

    @property
    def folder(self) -> str:
        """``<storage>/<name>``: checkpoints, weights, answers and the journal of this study, a folder or a URI."""
        return f"{self.storage.rstrip('/')}/{self.name}"

    @property
    def cache_dir(self) -> str:
        """Where workers keep tokenised data: in the storage if that is a folder, else in the home of who runs them."""
        if urlsplit(self.storage).scheme:
            return str(Path.home() / ".cache" / "aot-search")
        return str(Path(self.storage).absolute() / "cache")

    @property
    def unpinned(self) -> tuple[str, ...]:
        """Backbones of the hub at no known commit, and tasks of unread rows: their trials have no lasting ids yet."""
        backbones = [backbone.source for backbone in self.backbones if not backbone.pinned]
        return (*backbones, *(task.name for task in self.tasks if not task.source.digest))

    def grids(self, task: str, method: str) -> dict[str, Grid]:
        """The hyperparameters of a cell and their values; of two places that name one, the more specific wins.

        From weak to strong: ``defaults``, ``methods.METHOD``, ``overrides.TASK``, ``overrides.TASK.methods.METHOD``.
        """
        override = self.overrides.get(task, TaskOverride())
        return {**self.defaults, **self.methods[method], **override.shared, **override.methods.get(method, {})}

    def protocol_for(self, task: Task) -> Protocol:
        """How the trials of a task are trained: as its override says, else ``protocol``, else the task itself."""
        chosen: dict[str, Any] = {"epochs": task.epochs, "patience": task.patience}
        chosen.update({name: value for name, value in self.protocol.model_dump().items() if value is not None})
        override = self.overrides.get(task.name, TaskOverride())
        return Protocol(**{**chosen, **override.protocol})
