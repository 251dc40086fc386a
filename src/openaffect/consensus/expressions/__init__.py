"""Consensus rules for the expression, one file each; see `ratings.ExpressionRule`."""
