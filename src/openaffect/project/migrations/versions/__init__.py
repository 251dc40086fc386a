"""The versions, each named by its number."""
