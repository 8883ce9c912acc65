"""One publication reaches every node: the contract (`base`) and one module for each way to keep it.

May import ``wire`` and ``config``. What it is *not*: it knows no connections, no frames and no sockets of clients.
"""
