"""Commands that are killed at one of their file events, and then given again.

`python -m kills` tries every event of every command, `--count N` a seeded share of them; a short
share is part of the tests. What is written in the end must be what an undisturbed command writes.
"""
