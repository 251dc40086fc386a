"""Backbones: one file each with `build(size) -> (module, features)`.

The module takes (n, 3, size, size), normalised, and returns (n, features).
"""
