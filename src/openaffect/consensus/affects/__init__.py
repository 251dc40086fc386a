"""Consensus rules for valence and arousal, one file each; see `ratings.AffectRule`."""
