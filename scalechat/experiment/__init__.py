"""EACH SCALING PROBLEM, SEEN AND THEN FIXED: a run that shows the symptom, a run with the cure, and checks on both.

Starts the server and the load client as the processes users start, and reads what they wrote; never imports them.
"""
