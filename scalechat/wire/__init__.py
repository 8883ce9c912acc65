"""The shared language of server, clients and load: what may be said, and its bytes.

Sans-IO: plain values in, plain values out. Imports nothing of ours and never trio, so every rule here can be tested
without a socket. What it is *not*: it opens nothing, waits for nothing, and keeps no clock (callers pass the time in).
"""
