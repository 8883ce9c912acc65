"""OPEN-LOOP LOAD: many simulated clients, every delivery accounted for.

May import ``client``, ``wire`` and ``config``; never ``server``. Not a judge of its own pictures: what a
run means is for ``analysis``.
"""
