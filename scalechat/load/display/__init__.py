"""What a person sees of load runs at a terminal: while they go, and when they are over.

`story` and `programme` are values, `screen` draws them into the space there is, and only `progress` knows a console.
"""
