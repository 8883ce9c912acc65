"""ONE RUN, SEVERAL PROCESSES: on one machine (`--processes`) or on several that meet through Redis (`--rendezvous`).

Each worker plays its share of one plan and writes its part of the tables; the coordinator only agrees with them when
to begin and to end, adds up what a person sees, and puts the parts together: one run directory, one ledger, one
verdict.

    command → coordinator ⇄ channel ⇄ worker → Run(plan's share)
"""
