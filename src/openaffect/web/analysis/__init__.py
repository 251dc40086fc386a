"""The analysis service: a model behind a REST interface, and a page to try it."""
