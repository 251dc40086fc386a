"""Making and opening projects, on both databases."""

from __future__ import annotations

import ast
import re
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

import openaffect
from openaffect.errors import (
    DatabaseError,
    FormatError,
    InputError,
    MismatchError,
    NewerSchema,
    UnknownName,
)
from openaffect.project import Project, Settings, create_project, open_project, upgrading
from openaffect.project import project as projects
from openaffect.project.backups import restore_project, upgrade_project
from openaffect.project.database import parse_url
from openaffect.project.project import change_settings, reread_settings
from openaffect.project.schema import metadata
from openaffect.project.settings import list_keys, read_settings, write_settings

DESIGNED = {
    *("queries", "hits", "attempts", "images", "faces", "annotators", "assignments"),
    *("annotations", "tombstones", "events", "work"),
}


def test_the_migrations_make_the_tables_that_the_code_knows(project: Project) -> None:
    with project.database.read() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert set(sa.inspect(connection).get_table_names()) >= DESIGNED


def test_a_new_project_counts_nothing(project: Project) -> None:
    status = project.status()
    assert status["images"]["total"] == status["faces"]["total"] == 0
    assert status["annotations"]["total"] == 0
    assert status["steps"]["detect"] == {"pending": 0, "done": 0, "failed": {}, "refused": {}}
    assert [event["kind"] for event in project.events()] == ["new"]


def test_a_project_is_made_once(tmp_path: Path, project: Project) -> None:
    with pytest.raises(InputError, match="is a project already"):
        create_project(project.path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds files"):
        create_project(tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["notes.txt"]


def test_a_project_that_could_not_be_made_can_be_made_again(
    tmp_path: Path, database_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(settings: Settings, path: Path) -> None:
        write_settings(settings, path)
        raise OSError("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(projects, "write_settings", fail)
        with pytest.raises(OSError, match="no space"):
            create_project(tmp_path / "p", database=database_url)
    assert not (tmp_path / "p" / "project.toml").exists()
    with create_project(tmp_path / "p", database=database_url) as made:
        assert made.status()["images"]["total"] == 0


def test_two_projects_do_not_share_a_database(tmp_path: Path, postgresql_url: str) -> None:
    create_project(tmp_path / "a", database=postgresql_url).close()
    with pytest.raises(InputError, match="empty database"):
        create_project(tmp_path / "b", database=postgresql_url)
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://ada:geheim@host/faces",
        "postgresql://ada@host/faces?password=geheim",
        "postgresql+psycopg://ada@host/faces?sslpassword=geheim",
        "geheim",
        "mysql://ada:geheim@host/faces",
        "postgresql://ada:geheim@host:port/faces",
    ],
)
def test_an_address_with_a_password_is_refused_and_not_repeated(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        create_project(tmp_path / "p", database=url)
    assert "geheim" not in str(caught.value)
    assert not (tmp_path / "p").exists()


def test_the_password_of_the_environment_is_used_and_never_written(
    tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAFFECT_DATABASE_PASSWORD", "geheim")
    with create_project(tmp_path / "p", database=postgresql_url) as project:
        assert project.database.engine.url.password == "geheim"
        assert "geheim" not in project.database.name
        for path in (tmp_path / "p").rglob("*"):
            assert path.is_dir() or b"geheim" not in path.read_bytes()
        assert "geheim" not in str(project.events())


def test_an_address_keeps_host_and_port() -> None:
    url = parse_url("postgresql://ada@db.example.org:5433/faces")
    assert (url.username, url.host, url.port, url.database) == (
        "ada",
        "db.example.org",
        5433,
        "faces",
    )


def test_a_changed_key_becomes_one_event_with_both_values(project: Project) -> None:
    toml = project.path / "project.toml"
    toml.write_text(toml.read_text().replace("min_size = 32", "min_size = 48"))
    for _ in range(2):  # the second opening has nothing to say
        with open_project(project.path) as opened:
            assert opened.settings.detect.min_size == 48
    events = [event for event in project.events() if event["kind"] == "setting"]
    assert [(event["subject"], event["details"]) for event in events] == [
        ("detect.min_size", {"old": 32, "new": 48})
    ]


@pytest.mark.parametrize(
    ("line", "error", "words"),
    [
        ("contct = 'x'", UnknownName, "did you mean 'contact'"),
        ("[detect]\nmin_siz = 3", UnknownName, "did you mean 'min_size'"),
        ("[regions]\nhapy = [0, 1, 0, 1]", UnknownName, "did you mean 'happy'"),
        ("[detect]\nmin_size = 0", FormatError, "min_size"),
        ("[detect]\nmin_size = 'big'", FormatError, "min_size"),
        ("[quality]\nminimum_gold = 1.5", FormatError, "minimum_gold"),
        ("labels = 'happy,hapy'", FormatError, "did you mean 'happy'"),
        ("[crop]\nborder = 'white'", FormatError, "border"),
        ("[regions]\nhappy = [1, 0, 0, 1]", FormatError, "regions.happy"),
        ("schema = 2", NewerSchema, "schema 2"),
        ("name = ", FormatError, "not TOML"),
    ],
)
def test_a_wrong_key_or_value_is_named(
    tmp_path: Path, line: str, error: type[Exception], words: str
) -> None:
    path = tmp_path / "project.toml"
    path.write_text(line)
    with pytest.raises(error, match=re.escape(words)):
        read_settings(path)


def test_two_who_change_settings_keep_what_the_other_has_changed(project: Project) -> None:
    """Each process has read the file before the other one wrote it."""
    keys = [f"quality.{one}" for one in ("gold_share", "repeat_share", "minimum_gold")]
    keys += [f"annotation.{one}" for one in ("lease_minutes", "break_minutes", "overlap")]

    def change_half(opened: Project, half: list[str]) -> None:
        for key in half:
            change_settings(opened, {key: 1})

    with open_project(project.path) as first, open_project(project.path) as second:
        threads = [
            threading.Thread(target=change_half, args=(opened, keys[start::2]))
            for start, opened in enumerate((first, second))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert first.settings == second.settings == project.settings
        found = [reread_settings(one).settings.flat() for one in (first, second)]
    assert [[one[key] for key in keys] for one in found] == [[1] * 6] * 2
    events = [event["subject"] for event in project.events() if event["kind"] == "setting"]
    assert sorted(events) == sorted(keys)


def test_of_two_who_open_a_changed_project_one_notes_the_change(project: Project) -> None:
    toml = project.path / "project.toml"
    toml.write_text(toml.read_text().replace("min_size = 32", "min_size = 48"))
    start = threading.Barrier(4)

    def open_at_once() -> None:
        start.wait()
        open_project(project.path).close()

    threads = [threading.Thread(target=open_at_once) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events = [event["subject"] for event in project.events() if event["kind"] == "setting"]
    assert events == ["detect.min_size"]


@pytest.mark.parametrize(
    "text", ["", "id = ", 'id = "another"\nname = "x"', 'name = "x"\nlabels = 5']
)
def test_settings_that_cannot_be_read_again_stay(sqlite_project: Project, text: str) -> None:
    (sqlite_project.path / "project.toml").write_text(text)
    assert reread_settings(sqlite_project) == sqlite_project
    (sqlite_project.path / "project.toml").unlink()
    assert reread_settings(sqlite_project) == sqlite_project


def test_settings_survive_their_file(tmp_path: Path) -> None:
    settings = Settings(
        name='a "b"\n\x7f ü', contact="lab@example.org", regions={"happy": (0.0, 1.0, -0.2, 0.5)}
    )
    write_settings(settings, tmp_path / "project.toml")
    assert read_settings(tmp_path / "project.toml") == settings
    plain = Settings()
    write_settings(plain, tmp_path / "project.toml")
    assert read_settings(tmp_path / "project.toml") == plain


def test_the_docs_have_every_key() -> None:
    docs = Path(__file__).parents[2] / "docs" / "project.md"
    text = docs.read_text(encoding="utf-8")
    missing = [
        name
        for name, default, doc in list_keys()
        if f"| `{name}` | {f'`{default}`' if default else ''} | {doc} |" not in text
    ]
    assert missing == []
    assert len(list_keys()) > 20


def set_version(project: Project, version: str) -> None:
    with project.database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :v"), {"v": version})


def test_tables_of_a_newer_openaffect_are_refused(project: Project) -> None:
    set_version(project, "9999")
    with pytest.raises(NewerSchema, match="9999"):
        open_project(project.path)
    with pytest.raises(NewerSchema, match="9999"):
        upgrade_project(project.path)


SECOND = """
import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("images", sa.Column("mood", sa.Text(), server_default="calm"))
"""


def test_older_tables_are_upgraded_by_one_command_after_a_backup(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = tmp_path / "migrations"
    (newer / "versions").mkdir(parents=True)
    first = upgrading.MIGRATIONS / "versions" / "0001_first.py"
    (newer / "versions" / first.name).write_text(first.read_text())
    (newer / "versions" / "0002_mood.py").write_text(SECOND)
    older = upgrading.MIGRATIONS
    monkeypatch.setattr(upgrading, "MIGRATIONS", newer)
    with pytest.raises(InputError, match="openaffect upgrade"):
        open_project(project.path)
    before, now, file = upgrade_project(project.path)
    assert (before, now) == ("0001", "0002")
    assert file is not None
    with open_project(project.path) as opened, opened.database.read() as connection:
        names = [column["name"] for column in sa.inspect(connection).get_columns("images")]
        assert "mood" in names
        assert [event["kind"] for event in opened.events()] == ["new", "upgrade"]
    assert upgrade_project(project.path) == ("0002", "0002", None)
    # The backup is of before: an older openaffect opens what it restores.
    monkeypatch.setattr(upgrading, "MIGRATIONS", older)
    with restore_project(file, tmp_path / "old") as restored:
        assert [event["kind"] for event in restored.events()] == ["new", "restore"]


def test_an_upgrade_that_fails_changes_nothing(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = tmp_path / "migrations"
    (newer / "versions").mkdir(parents=True)
    first = upgrading.MIGRATIONS / "versions" / "0001_first.py"
    (newer / "versions" / first.name).write_text(first.read_text())
    (newer / "versions" / "0002_mood.py").write_text(SECOND + "    raise OSError('pulled plug')\n")
    with monkeypatch.context() as patched:
        patched.setattr(upgrading, "MIGRATIONS", newer)
        with pytest.raises(OSError, match="pulled plug"):
            upgrade_project(project.path)
    with open_project(project.path) as opened, opened.database.read() as connection:
        names = [column["name"] for column in sa.inspect(connection).get_columns("images")]
        assert "mood" not in names


def test_a_database_of_another_project_is_noticed(tmp_path: Path) -> None:
    create_project(tmp_path / "a").close()
    create_project(tmp_path / "b").close()
    (tmp_path / "a" / "project.db").replace(tmp_path / "b" / "project.db")
    with pytest.raises(MismatchError, match="was moved"):
        open_project(tmp_path / "b")


def test_what_is_no_project_is_told(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="no such folder"):
        open_project(tmp_path / "nowhere")
    with pytest.raises(FormatError, match=re.escape("no project.toml")):
        open_project(tmp_path)
    create_project(tmp_path / "p").close()
    (tmp_path / "p" / "project.db").write_bytes(b"text")
    with pytest.raises(FormatError, match="SQLite"):
        open_project(tmp_path / "p")
    (tmp_path / "p" / "project.db").unlink()
    with pytest.raises(FormatError, match=re.escape("project.db")):
        open_project(tmp_path / "p")
    assert not (tmp_path / "p" / "project.db").exists()


def test_a_server_that_is_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="does not answer"):
        create_project(tmp_path / "p", database=f"postgresql://ada@/faces?host={tmp_path}")
    assert not (tmp_path / "p").exists()


def test_one_package_speaks_sql() -> None:
    source = Path(openaffect.__file__).parent
    speakers = {
        path.relative_to(source).parts[0]
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        if name.split(".")[0] in {"sqlalchemy", "alembic", "sqlite3", "psycopg"}
    }
    # Optuna's storage of trials is its own; training names its file by SQLAlchemy's URL.
    assert speakers == {"project", "training"}
