"""Attacks on openaffect, one script each: `python -m attacks.NAME` in the folder `tests`.

A script attacks the openaffect that Python finds, prints one line with what it measured, and
ends with status 0 if openaffect held and 1 if the attack succeeded. `test_attacks.py` runs
all of them. They reach nothing but this computer, and end by themselves.
"""
