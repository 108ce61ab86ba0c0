"""What it saves to hand out the longest packs first: a study's packs on 2, 8 and 64 devices, simulated.

    AOT_DATA_DIR=FOLDER python benchmarks/order.py studies/real_small.yaml

Each pack takes as long as its expected work, or from 20 to 100 % of that, as patience may have it; times are multiples
of the least that any order could take. The whole grid is planned, in packs for a GPU.
"""

from __future__ import annotations

import sys
from pathlib import Path

if sys.path[0] == str(Path(__file__).parent):  # run as a script: this folder's statistics.py is not Python's
    sys.path[0] = str(Path(__file__).parents[1])

import argparse
import random

from search import study
from search.planning.estimates import in_turn
from search.strategy.study_search import StudySearch
from search.strategy.work import Work
from search.study import Search

DEVICES = (2, 8, 64)
LEAST = 0.2  # of the epochs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path, nargs="+", metavar="STUDY", help="a study's YAML file")
    for file in parser.parse_args().studies:
        print(file)
        compare(file)


def compare(file: Path) -> None:
    read = study.load(file)
    resources = read.resources.model_copy(update={"gpu": 1})
    whole = read.model_copy(update={"resources": resources, "search": Search(), "confirm": 0})
    planned = [pack for cell in StudySearch(whole, {}).cells.values() for pack in cell.pending]
    handed_out = list(iter(StudySearch(whole, {}).next, None))
    work, drawn = Work(whole), random.Random(0)
    parts = {pack.group: drawn.uniform(LEAST, 1) for pack in planned}
    print(f"{len(planned)} packs; the order of the file, the longest first, saved")
    for words, early in (("all epochs", False), ("early stops", True)):
        file_order, longest_first = (
            [work(pack) * (parts[pack.group] if early else 1) for pack in packs] for packs in (planned, handed_out)
        )
        for devices in DEVICES:
            least = max(sum(file_order) / devices, *file_order)
            before, after = (in_turn(packs, devices) for packs in (file_order, longest_first))
            print(
                f"{words:12} {devices:3} {before / least:.3f} {after / least:.3f} {100 * (1 - after / before):5.1f} %"
            )


if __name__ == "__main__":
    main()
