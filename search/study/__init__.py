"""A study: one YAML file, validated whole, with every error at once before anything starts.

``_document.py`` reads the YAML, ``_sections.py`` and ``_grids.py`` its parts, ``_model.py`` holds the result,
``_size.py`` counts it before anything is built, ``_confirmation.py`` says which seeds confirm its winners,
``_binding.py`` finds the backbones and data it names, ``_fit.py`` fits the methods to them, ``_files.py`` says which
files travel with it, ``_collector.py`` gathers what is wrong (``_problems.py``).
"""

from __future__ import annotations

from search.study._binding import spec_if_known
from search.study._confirmation import confirmation_seeds, fresh_seeds
from search.study._files import relative_files, stores
from search.study._grids import assignments, combinations
from search.study._load import load
from search.study._model import MOST_FRESH_SEEDS, Budget, EarlyStopping, Grid, Grids, Range, Resources, Search, Study
from search.study._problems import Problem, StudyError
from search.study._size import trials_at_most

__all__ = [
    "MOST_FRESH_SEEDS", "Budget", "EarlyStopping", "Grid", "Grids", "Problem", "Range", "Resources", "Search", "Study",
    "StudyError", "assignments", "combinations", "confirmation_seeds", "fresh_seeds", "load", "relative_files",
    "spec_if_known", "stores", "trials_at_most",
]  # fmt: skip
