"""The promises of a chat of several nodes, kept while its parts are killed: real processes, a real Redis, real faults.

``pytest tests/faults`` is the short form; ``python -m tests.faults --long`` the long one, which prints the table.
"""
