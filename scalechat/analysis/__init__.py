"""WHAT NOTEBOOKS IMPORT: a run directory in, figures and a report out.

May import `load.results` (the schema) and `config` (the errors); never Trio, never `server`.  It
measures nothing itself.  Importing this package or `report` needs only the standard library and
msgspec; every other module needs the extra `analysis` (pandas, SciPy, matplotlib).

    frames      a run's tables as pandas frames, and its phases
    latency     histograms → exact merges, quantiles, curves
    saturation  counters → rates; the server's and the generator's resources
    diagnosis   which resource was at its limit, with the evidence
    plots       the pictures; each title states a finding
    tables      verdict, ledger, objectives, configuration as HTML
    search      a capacity search: its probes, its knee, what stood in the way
    capacity    the pictures and tables of a search
    comparing   `compare`: which runs, and what stands against it; comparing_table prints the answer
    comparison  two systems: the effect on each figure, with its interval
    conditions  whether two sets of runs may be compared
    differences the pictures and tables of a comparison
    intervals   standard errors: of a run's seconds, of several runs
    report      the notebook, executed, as one HTML file
"""

import logging

# Where matplotlib's first import takes more than 5 s it says so on stderr, and a report would show that above all else.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
