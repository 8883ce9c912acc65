"""WHAT NOTEBOOKS IMPORT: a run directory in, figures and a report out.

May import `load.results` (the schema) and `config` (the errors); never Trio, never `server`.  It
measures nothing itself.  Importing this package or `report` needs only the standard library and
msgspec; every other module needs the extra `analysis` (pandas, matplotlib).

    frames      a run's tables as pandas frames, and its phases
    latency     histograms → exact merges, quantiles, curves
    saturation  counters → rates; the server's and the generator's resources
    diagnosis   which resource was at its limit, with the evidence
    plots       the pictures; each title states a finding
    tables      verdict, ledger, objectives, configuration as HTML
    report      the notebook, executed, as one HTML file
"""
