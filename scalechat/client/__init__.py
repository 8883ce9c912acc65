"""ONE HONEST CLIENT, used by people: open a chat, talk, listen, resume.

May import ``wire`` and ``config``. Not a load generator: it keeps no statistics and follows no plan.
"""
