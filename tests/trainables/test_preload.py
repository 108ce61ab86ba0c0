"""What a worker imports before it has a pack, and that nothing of it can end the worker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def told(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_backbone_brings_little_more() -> None:
    code = (
        "import gc, sys, trainables.preload; known = set(sys.modules)\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 100_000\n"
        "from transformers.models.bert import modeling_bert\n"
        "print('trainables.training' in known, 'ray' in known, len(set(sys.modules) - known) < 0.02 * len(known))"
    )
    assert told(code) == "True False True"


def test_what_cannot_be_imported_is_told_by_the_pack() -> None:
    code = (
        "import gc, sys; sys.modules['torch'] = None\n"
        "import trainables.preload; assert gc.isenabled()\n"
        "try: import trainables.training\n"
        "except ImportError as error: print(error)"
    )
    assert "torch" in told(code)
