"""One node: listener → connection → bus → hub → room → outbox.

May import ``bus``, ``wire`` and ``config``. What it is *not*: it neither parses argv nor reads the environment, and it
knows nothing of the load client or the analysis.
"""
