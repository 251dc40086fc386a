"""How the tables of a project became what they are: one file per version, run by Alembic."""
