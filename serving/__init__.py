"""The winners in use: artifacts, and one backbone that answers for many tasks in one batch.

``fuse.py`` makes an artifact of a trained trial, ``artifact.py`` reads and checks one, ``peft_export.py`` writes what
PEFT loads, ``norms.py`` looks at the rows of P. None of it knows a search or a report.
"""
