"""THE HIGHEST LOAD THAT STILL MEETS THE OBJECTIVES: a search made of ordinary runs.

    decision   which load to try next, and the answer; pure, knows no servers
    quantity   what is varied → the run that applies so much of it
    observing  a finished run → held, failed, or no answer
    calm       waiting until the server is itself again after a probe
    record     the search's directory: search.csv, run.json, summary.json
    searching  the loop that puts these together
    telling    the lines a person reads
    levels     all probes as a table
    command    what ``python -m scalechat capacity`` does around it

May import what `scalechat.load` may.
"""
