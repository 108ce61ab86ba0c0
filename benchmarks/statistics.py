"""Coverage and rejection rates of everything that a report shows, on simulated runs whose truth is known.

python benchmarks/statistics.py --repeats 1000
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])  # not this folder, where "statistics" is this file

import benchmarks  # noqa: E402


def main() -> None:
    """Print a line per rate; every file ``_rates_NAME.py`` beside this one has some."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1000, help="simulated studies per line")
    parser.add_argument("--seed", type=int, default=0)
    names = [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name.startswith("_rates_")]
    parser.add_argument("--only", nargs="*", choices=[n.removeprefix("_rates_") for n in names], default=None)
    arguments = parser.parse_args()
    for name in names:
        if arguments.only and name.removeprefix("_rates_") not in arguments.only:
            continue
        print(f"\n{name.removeprefix('_rates_')}")
        for rate in importlib.import_module(f"benchmarks.{name}").rates(arguments.repeats, arguments.seed):
            print(f"  {rate}", flush=True)


if __name__ == "__main__":
    main()
