"""The tables of the reference, made from the code: ``python -m docs.reference.generate`` writes them.

A table stands between ``<!-- generated:NAME -->`` and ``<!-- /generated:NAME -->``; the text around it is written by
hand. A test holds every table and every JSON document against the code.
"""
