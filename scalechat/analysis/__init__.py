"""WHAT NOTEBOOKS IMPORT: a run directory in, figures and a report out.

May import ``load.results`` (the schema) and ``config`` (the errors); never Trio, never ``server``. It
measures nothing itself.
"""
