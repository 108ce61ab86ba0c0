"""A study's trials read from MLflow, and nothing else: ``python -m benchmarks._reader STUDY URI``."""

from __future__ import annotations

import sys

from search.tracking.records import logged

if __name__ == "__main__":
    found = logged(sys.argv[1], sys.argv[2], print)
    print(len(found.records) if found else "away")
