"""The annotation application: pages on which people label faces, review, and run the work."""
