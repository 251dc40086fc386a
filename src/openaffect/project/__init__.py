"""Project: the database of faces that grows, and the only room that speaks SQL."""

from openaffect.extras import needs

with needs("project", "a project"):
    from openaffect.project.project import Project, create_project, open_project
    from openaffect.project.settings import Settings

__all__ = ["Project", "Settings", "create_project", "open_project"]
