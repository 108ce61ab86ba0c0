"""A study: one YAML file, validated whole, with every error at once before anything starts.

``_document.py`` reads the YAML, ``_sections.py`` and ``_grids.py`` its parts, ``_model.py`` holds the result,
``_binding.py`` finds the backbones and data it names, ``_files.py`` says which files travel with it, ``_collector.py``
gathers what is wrong (``_problems.py``).
"""

from __future__ import annotations

from search.study._binding import spec_if_known
from search.study._files import relative_files, stores
from search.study._grids import combinations
from search.study._load import load
from search.study._model import Budget, EarlyStopping, Grid, Grids, Range, Resources, Search, Study
from search.study._problems import Problem, StudyError

__all__ = [
    "Budget", "EarlyStopping", "Grid", "Grids", "Problem", "Range", "Resources", "Search", "Study", "StudyError",
    "combinations", "load", "relative_files", "spec_if_known", "stores",
]  # fmt: skip
