"""Scale-Chat: a chat server meant to be grown until it breaks, and the laboratory around it.

Who may import whom (held by the contracts in ``pyproject.toml``)::

    cli, demo → everything        server → bus, wire, config      bus    → wire, config
    load      → client, wire, config                              client → wire, config
    analysis  → load.results, config                              wire, config → nothing of ours
"""

__version__ = "0.1.0"
