"""The tables of a project, as SQLAlchemy Core knows them; docs/project.md describes them in words.

They are written down a second time in `migrations/`, as each version made them; a test compares
the two on both databases.
"""

import datetime
import json
from typing import Any

import sqlalchemy as sa

from openaffect.errors import FormatError, reason


class UtcDateTime(sa.TypeDecorator[datetime.datetime]):
    """A time in UTC with microseconds; SQLite, which has no time zones, stores it without one."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> Any:
        """The time as the database takes it."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("expected a time with a time zone")
        value = value.astimezone(datetime.UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(
        self,
        value: Any,
        dialect: sa.Dialect,  # noqa: ARG002
    ) -> datetime.datetime | None:
        """The time in UTC."""
        if value is None:
            return None
        found: datetime.datetime = value
        if found.tzinfo is None:
            return found.replace(tzinfo=datetime.UTC)
        return found.astimezone(datetime.UTC)


def current_time() -> datetime.datetime:
    """The time, as the columns of this class take it."""
    return datetime.datetime.now(datetime.UTC)


class JsonText(sa.TypeDecorator[Any]):
    """A value as JSON text with sorted keys, the same in every database."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        """The value as text."""
        if value is None:
            return None
        return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:  # noqa: ARG002
        """The value of the text."""
        try:
            return None if value is None else json.loads(value)
        except (ValueError, TypeError, RecursionError) as error:
            raise FormatError(f"damaged JSON in the database: {reason(error)}") from error


def _id() -> sa.Column[Any]:
    # SQLite numbers the rows of an INTEGER PRIMARY KEY by itself, and of no other type.
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True)


def _refers(name: str, to: str, *, nullable: bool = False) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger, sa.ForeignKey(to), nullable=nullable)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

settings = sa.Table(
    "settings",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("value", JsonText),
)
"""The keys of project.toml as they were last seen, so that a change becomes an event."""

events = sa.Table(
    "events",
    metadata,
    _id(),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text),
    sa.Column("details", JsonText),
)
"""What was done to a project, and when; never changed."""

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.BigInteger, nullable=False),
)
"""Numbers that pages show; they change in the transaction that changes what they count."""

queries = sa.Table(
    "queries",
    metadata,
    _id(),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("language", sa.Text, nullable=False),
    sa.Column("intended", sa.Text),
    sa.Column("active", sa.Boolean, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("language", "text"),
)
"""What is asked of search engines, with the expression that is hoped for."""

searches = sa.Table(
    "searches",
    metadata,
    sa.Column(
        "query_id",
        sa.BigInteger,
        sa.ForeignKey("queries.id"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("options", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("page", sa.Integer, nullable=False),
    sa.Column("start", sa.Integer, nullable=False),
    sa.Column("hits", sa.Integer, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
)
"""How far a query has been asked of a provider: `open` at its next page, `done` or `refused`."""

requests = sa.Table(
    "requests",
    metadata,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("day", sa.Text, primary_key=True),
    sa.Column("count", sa.Integer, nullable=False),
)
"""How often a provider was asked on a day (UTC), for those that allow so many per day."""

hosts = sa.Table(
    "hosts",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("urls", sa.BigInteger, nullable=False),
)
"""How many addresses of a host are known."""

urls = sa.Table(
    "urls",
    metadata,
    _id(),
    sa.Column("url", sa.Text, nullable=False, unique=True),
    sa.Column("host", sa.Text, nullable=False),
    _refers("image_id", "images.id", nullable=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index(None, "image_id"),
)
"""Each address once, in the form of `withdrawals.normalize_url`, and the image that came from it."""

hits = sa.Table(
    "hits",
    metadata,
    _id(),
    _refers("url_id", "urls.id"),
    _refers("query_id", "queries.id", nullable=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("rank", sa.Integer),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("page_url", sa.Text),
    sa.Column("title", sa.Text),
    sa.Column("author", sa.Text),
    sa.Column("license", sa.Text),
    sa.Column("license_url", sa.Text),
    sa.Column("rights", sa.Text),
    sa.Column("restrictions", sa.Text),
    sa.Column("query", sa.Text),
    sa.Column("intended", sa.Text),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index("uq_hits_asked", "query_id", "provider", "url_id", unique=True),
    sa.Index(
        "uq_hits_listed",
        "provider",
        "url_id",
        unique=True,
        postgresql_where=sa.text("query_id IS NULL"),
        sqlite_where=sa.text("query_id IS NULL"),
    ),
    sa.Index(None, "url_id"),
)
"""What a provider said of an address; a list of addresses has no `query_id`, but may name its own."""

attempts = sa.Table(
    "attempts",
    metadata,
    _id(),
    _refers("url_id", "urls.id"),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("http_status", sa.Integer),
    sa.Column("final_url", sa.Text),
    sa.Column("bytes", sa.BigInteger),
    sa.Column("seconds", sa.Float),
    sa.Column("rules", sa.Text),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index(None, "url_id"),
)
"""One row per download that was tried: `stored`, `known`, `refused` or `failed`.

`rules` is the raw text of the robots.txt or headers that refused it."""

images = sa.Table(
    "images",
    metadata,
    _id(),
    sa.Column("sha256", sa.Text, nullable=False, unique=True),
    sa.Column("suffix", sa.Text, nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("width", sa.Integer),
    sa.Column("height", sa.Integer),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("query", sa.Text),
    sa.Column("intended", sa.Text),
    sa.Column("provider", sa.Text),
    sa.Column("url", sa.Text),
    sa.Column("page_url", sa.Text),
    sa.Column("title", sa.Text),
    sa.Column("author", sa.Text),
    sa.Column("license", sa.Text),
    sa.Column("license_url", sa.Text),
    sa.Column("restrictions", sa.Text),
    sa.Column("pixels", sa.BigInteger),
    sa.Column("dhash", sa.BigInteger),
    sa.Column("mirrored", sa.BigInteger),
    sa.Column("hash_version", sa.Integer),
    sa.Column("copy_of", sa.BigInteger),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index(None, "url"),
    sa.Index(None, "copy_of"),
)
"""One row per file of the store. The three hashes are 64 bits as signed numbers.

An image that is a `copy_of` another one is not searched for faces."""

thumbnails = sa.Table(
    "thumbnails",
    metadata,
    sa.Column(
        "image_id",
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
        sa.ForeignKey("images.id"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("thumb", sa.LargeBinary, nullable=False),
)
"""256 gray pixels of an image, by which copies are found; see `faces.signatures`."""

faces = sa.Table(
    "faces",
    metadata,
    _id(),
    sa.Column("face_id", sa.Text, nullable=False, unique=True),
    _refers("image_id", "images.id"),
    sa.Column("source", sa.Text, nullable=False),
    *(sa.Column(name, sa.Float) for name in ("x", "y", "w", "h")),
    sa.Column("detector", sa.Text),
    sa.Column("score", sa.Float),
    sa.Column("landmarks", sa.LargeBinary),
    sa.Column("landmarker", sa.Text),
    *(sa.Column(name, sa.Float) for name in ("yaw", "pitch", "roll")),
    *(sa.Column(name, sa.Float) for name in ("sharpness", "brightness")),
    sa.Column("votes", JsonText),
    sa.Column("soft_label", JsonText),
    sa.Column("split", sa.Text),
    sa.Column("group", sa.Text),
    sa.Column("extra", JsonText),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index(None, "image_id"),
)
"""One row per face; without x, y, w, h the image already is the crop. `landmarks`: 136 float32."""

annotators = sa.Table(
    "annotators",
    metadata,
    _id(),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("pseudonym", sa.Text, nullable=False, unique=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("paused_because", sa.Text),
    sa.Column("password", sa.Text),
    sa.Column("simulated", sa.Boolean, nullable=False, default=False),
    sa.Column("language", sa.Text),
    sa.Column("keys", JsonText),
    sa.Column("auto_save", sa.Boolean, nullable=False, default=False),
    sa.Column("instructions", sa.Text),
    sa.Column("numbers", JsonText),
    sa.Column("watched_from", UtcDateTime),
    sa.Column("at", UtcDateTime, nullable=False),
)
"""Who annotates: a person, or a pseudo-annotator such as `import:ferplus`.

`numbers` are those of `accounts.NUMBERS`; they change in the transaction that changes what they
count. Gold answers before `watched_from` are not held against the person.
"""

links = sa.Table(
    "links",
    metadata,
    sa.Column("token_hash", sa.Text, primary_key=True),
    _refers("annotator_id", "annotators.id"),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("expires", UtcDateTime, nullable=False),
    sa.Column("used", UtcDateTime),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index(None, "annotator_id"),
)
"""One-time links, by which a person chooses a password: invitations and resets."""

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("token_hash", sa.Text, primary_key=True),
    _refers("annotator_id", "annotators.id"),
    sa.Column("expires", UtcDateTime, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index(None, "annotator_id"),
)
"""Who is signed in; the token itself is in the person's browser alone."""

sign_ins = sa.Table(
    "sign_ins",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("until", UtcDateTime, nullable=False),
)
"""Wrong passwords by name and address: the next one is tried after `until`."""

batches = sa.Table(
    "batches",
    metadata,
    _id(),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("overlap", sa.Integer, nullable=False),
    sa.Column("overlap_share", sa.Float, nullable=False),
    sa.Column("balanced_by", sa.Text, nullable=False),
    sa.Column("people", JsonText),
    sa.Column("filter", JsonText),
    sa.Column("faces", sa.Integer, nullable=False),
    sa.Column("wanted", sa.Integer, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
)
"""Work that was made together: which faces, and by how many people each."""

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column(
        "face_id",
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
        sa.ForeignKey("faces.id"),
        primary_key=True,
        autoincrement=False,
    ),
    _refers("batch_id", "batches.id"),
    sa.Column("wanted", sa.Integer, nullable=False),
    sa.Column("given", sa.Integer, nullable=False, default=0),
    sa.Column("done", sa.Integer, nullable=False, default=0),
    sa.Column("level", sa.Integer, nullable=False),
    sa.Column("place", sa.Float, nullable=False),
    sa.Column("prelabel", JsonText),
    sa.Column("review", sa.Text),
    sa.Column("reasons", JsonText),
    sa.Index(
        "ix_tasks_open",
        "batch_id",
        "level",
        "place",
        postgresql_where=sa.text("given < wanted"),
        sqlite_where=sa.text("given < wanted"),
    ),
    sa.Index(
        "ix_tasks_review",
        "face_id",
        postgresql_where=sa.text("review = 'open'"),
        sqlite_where=sa.text("review = 'open'"),
    ),
)
"""One row per face of a batch: how many people shall label it, have it, and are done.

Faces of a lower `level` come first; within a level each person begins at another `place`.
"""

gold = sa.Table(
    "gold",
    metadata,
    sa.Column(
        "face_id",
        sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
        sa.ForeignKey("faces.id"),
        primary_key=True,
        autoincrement=False,
    ),
    sa.Column("expression", sa.Text, nullable=False),
    sa.Column("valence", sa.Float),
    sa.Column("arousal", sa.Float),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("place", sa.Float, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index(None, "place"),
)
"""Faces whose answer is known: for training, and to watch the work."""

assignments = sa.Table(
    "assignments",
    metadata,
    _id(),
    _refers("face_id", "faces.id"),
    _refers("annotator_id", "annotators.id"),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("batch", sa.Text),
    sa.Column("round", sa.Integer),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("note", sa.Text),
    sa.Column("annotation", sa.Text),
    sa.Column("expires", UtcDateTime),
    sa.Column("answered", UtcDateTime),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index("ix_assignments_person", "annotator_id", "state", "id"),
    sa.Index("ix_assignments_face", "face_id", "annotator_id"),
    sa.Index(
        "ix_assignments_leased",
        "expires",
        postgresql_where=sa.text("state = 'leased'"),
        sqlite_where=sa.text("state = 'leased'"),
    ),
)
"""A face that was given to an annotator; `annotation` is the last row that it brought."""

annotations = sa.Table(
    "annotations",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    _refers("face_id", "faces.id"),
    _refers("annotator_id", "annotators.id"),
    _refers("assignment_id", "assignments.id", nullable=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("expression", sa.Text),
    sa.Column("valence", sa.Float),
    sa.Column("arousal", sa.Float),
    sa.Column("occluded", sa.Boolean),
    sa.Column("flag", sa.Text),
    sa.Column("comment", sa.Text),
    sa.Column("seconds", sa.Float),
    sa.Column("region_shown", sa.Boolean),
    sa.Column("prelabel_shown", sa.Boolean),
    sa.Column("instructions", sa.Text),
    sa.Column("tool", sa.Text),
    sa.Column("batch", sa.Text),
    sa.Column("round", sa.Integer),
    sa.Column("replaces", sa.Text),
    sa.Column("void", sa.Boolean, nullable=False, default=False),
    sa.Column("late", sa.Boolean, nullable=False, default=False),
    sa.Column("counted", sa.Boolean, nullable=False, default=True),
    sa.Column("origin", sa.Text),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index(None, "face_id"),
    sa.Index("ix_annotations_person", "annotator_id", "kind", "at"),
    sa.Index(None, "replaces"),
)
"""One row per judgment, append-only. `counted`: for overlap, for done, and for the test split."""

tombstones = sa.Table(
    "tombstones",
    metadata,
    _id(),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("hash_version", sa.Integer),
    sa.Column("because", sa.Text, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("kind", "hash"),
)
"""What was forgotten and must not come back: hashes only."""

datasets = sa.Table(
    "datasets",
    metadata,
    _id(),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("options", JsonText),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("faces", sa.LargeBinary, nullable=False),
    sa.Column("people", JsonText),
    sa.Column("at", UtcDateTime, nullable=False),
)
"""Datasets that were frozen, each with its faces by number: zlib of int64, little-endian, rising.

`people` are the pseudonyms of those whose rows it holds.
"""

work = sa.Table(
    "work",
    metadata,
    sa.Column("step", sa.Text, primary_key=True),
    sa.Column("item", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("owner", sa.Text),
    sa.Column("expires", UtcDateTime),
    sa.Column("turn", sa.BigInteger, nullable=False, default=0),
    sa.Index("ix_work_queue", "step", "state", "turn", "item"),
)
"""One queue per step; `item` is the id of what the step works on. Lower turns come first."""
