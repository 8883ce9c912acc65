"""LISTENER → CONNECTION → BUS → HUB → ROOM → OUTBOX: the chat server.

May import ``bus``, ``wire`` and ``config``. Not a client, and nothing here is shared with the load
client that measures it.
"""
