"""A pack trained in a process of its own, to be killed: every step begun is a byte in a file."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

from trainables import pack_checkpoint, training
from trainables.optim import Members


def main() -> None:
    """FOLDER, which holds ``pack.pickle`` with the pack and its workspace; steps are counted in ``steps``."""
    folder = Path(sys.argv[1])
    pack, workspace = pickle.loads((folder / "pack.pickle").read_bytes())
    update = Members.step
    with open(folder / "steps", "ab", buffering=0) as steps:

        def counted(members: Members, loss: object) -> None:
            steps.write(b".")
            update(members, loss)

        Members.step = counted
        pack_checkpoint.SAVING_SHARE = 0  # a checkpoint after each step
        for _ in training.train(pack, workspace):
            pass


if __name__ == "__main__":
    main()
