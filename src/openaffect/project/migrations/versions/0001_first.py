"""The first version of the tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make every table."""
    op.create_table(
        "annotators",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("pseudonym", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("paused_because", sa.Text()),
        sa.Column("password", sa.Text()),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("language", sa.Text()),
        sa.Column("keys", sa.Text()),
        sa.Column("auto_save", sa.Boolean(), nullable=False),
        sa.Column("instructions", sa.Text()),
        sa.Column("numbers", sa.Text()),
        sa.Column("watched_from", sa.DateTime(timezone=True)),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotators")),
        sa.UniqueConstraint("name", name=op.f("uq_annotators_name")),
        sa.UniqueConstraint("pseudonym", name=op.f("uq_annotators_pseudonym")),
    )
    op.create_table(
        "batches",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("overlap", sa.Integer(), nullable=False),
        sa.Column("overlap_share", sa.Float(), nullable=False),
        sa.Column("balanced_by", sa.Text(), nullable=False),
        sa.Column("people", sa.Text()),
        sa.Column("filter", sa.Text()),
        sa.Column("faces", sa.Integer(), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
        sa.UniqueConstraint("name", name=op.f("uq_batches_name")),
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counters")),
    )
    op.create_table(
        "datasets",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("options", sa.Text()),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("faces", sa.LargeBinary(), nullable=False),
        sa.Column("people", sa.Text()),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datasets")),
    )
    op.create_table(
        "events",
        sa.Column("id", _ID, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text()),
        sa.Column("details", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    op.create_table(
        "images",
        sa.Column("id", _ID, nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("suffix", sa.Text(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer()),
        sa.Column("height", sa.Integer()),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("query", sa.Text()),
        sa.Column("intended", sa.Text()),
        sa.Column("provider", sa.Text()),
        sa.Column("url", sa.Text()),
        sa.Column("page_url", sa.Text()),
        sa.Column("title", sa.Text()),
        sa.Column("author", sa.Text()),
        sa.Column("license", sa.Text()),
        sa.Column("license_url", sa.Text()),
        sa.Column("restrictions", sa.Text()),
        sa.Column("pixels", sa.BigInteger()),
        sa.Column("dhash", sa.BigInteger()),
        sa.Column("mirrored", sa.BigInteger()),
        sa.Column("hash_version", sa.Integer()),
        sa.Column("copy_of", sa.BigInteger()),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_images")),
        sa.UniqueConstraint("sha256", name=op.f("uq_images_sha256")),
    )
    op.create_index(op.f("ix_images_url"), "images", ["url"], unique=False)
    op.create_index(op.f("ix_images_copy_of"), "images", ["copy_of"], unique=False)
    op.create_table(
        "thumbnails",
        sa.Column("image_id", _ID, autoincrement=False, nullable=False),
        sa.Column("thumb", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_thumbnails_image_id")),
        sa.PrimaryKeyConstraint("image_id", name=op.f("pk_thumbnails")),
    )
    op.create_table(
        "requests",
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("provider", "day", name=op.f("pk_requests")),
    )
    op.create_table(
        "hosts",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("urls", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_hosts")),
    )
    op.create_table(
        "urls",
        sa.Column("id", _ID, nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("image_id", sa.BigInteger()),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_urls_image_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_urls")),
        sa.UniqueConstraint("url", name=op.f("uq_urls_url")),
    )
    op.create_index(op.f("ix_urls_image_id"), "urls", ["image_id"], unique=False)
    op.create_table(
        "attempts",
        sa.Column("id", _ID, nullable=False),
        sa.Column("url_id", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("http_status", sa.Integer()),
        sa.Column("final_url", sa.Text()),
        sa.Column("bytes", sa.BigInteger()),
        sa.Column("seconds", sa.Float()),
        sa.Column("rules", sa.Text()),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["url_id"], ["urls.id"], name=op.f("fk_attempts_url_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
    )
    op.create_index(op.f("ix_attempts_url_id"), "attempts", ["url_id"], unique=False)
    op.create_table(
        "queries",
        sa.Column("id", _ID, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("intended", sa.Text()),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queries")),
        sa.UniqueConstraint("language", "text", name=op.f("uq_queries_language_text")),
    )
    op.create_table(
        "searches",
        sa.Column("query_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("options", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("page", sa.Integer(), nullable=False),
        sa.Column("start", sa.Integer(), nullable=False),
        sa.Column("hits", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name=op.f("fk_searches_query_id")),
        sa.PrimaryKeyConstraint("query_id", "provider", "options", name=op.f("pk_searches")),
    )
    op.create_table(
        "hits",
        sa.Column("id", _ID, nullable=False),
        sa.Column("url_id", sa.BigInteger(), nullable=False),
        sa.Column("query_id", sa.BigInteger()),
        sa.Column("provider", sa.Text(), nullable=False),
        sa.Column("rank", sa.Integer()),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("page_url", sa.Text()),
        sa.Column("title", sa.Text()),
        sa.Column("author", sa.Text()),
        sa.Column("license", sa.Text()),
        sa.Column("license_url", sa.Text()),
        sa.Column("rights", sa.Text()),
        sa.Column("restrictions", sa.Text()),
        sa.Column("query", sa.Text()),
        sa.Column("intended", sa.Text()),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name=op.f("fk_hits_query_id")),
        sa.ForeignKeyConstraint(["url_id"], ["urls.id"], name=op.f("fk_hits_url_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hits")),
    )
    op.create_index("uq_hits_asked", "hits", ["query_id", "provider", "url_id"], unique=True)
    op.create_index(
        "uq_hits_listed",
        "hits",
        ["provider", "url_id"],
        unique=True,
        postgresql_where=sa.text("query_id IS NULL"),
        sqlite_where=sa.text("query_id IS NULL"),
    )
    op.create_index(op.f("ix_hits_url_id"), "hits", ["url_id"], unique=False)
    op.create_table(
        "settings",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text()),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_settings")),
    )
    op.create_table(
        "sign_ins",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_sign_ins")),
    )
    op.create_table(
        "tombstones",
        sa.Column("id", _ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("hash_version", sa.Integer()),
        sa.Column("because", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tombstones")),
        sa.UniqueConstraint("kind", "hash", name=op.f("uq_tombstones_kind_hash")),
    )
    op.create_table(
        "work",
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("item", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("owner", sa.Text()),
        sa.Column("expires", sa.DateTime(timezone=True)),
        sa.Column("turn", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("step", "item", name=op.f("pk_work")),
    )
    op.create_index("ix_work_queue", "work", ["step", "state", "turn", "item"], unique=False)
    op.create_table(
        "faces",
        sa.Column("id", _ID, nullable=False),
        sa.Column("face_id", sa.Text(), nullable=False),
        sa.Column("image_id", sa.BigInteger(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("x", sa.Float()),
        sa.Column("y", sa.Float()),
        sa.Column("w", sa.Float()),
        sa.Column("h", sa.Float()),
        sa.Column("detector", sa.Text()),
        sa.Column("score", sa.Float()),
        sa.Column("landmarks", sa.LargeBinary()),
        sa.Column("landmarker", sa.Text()),
        sa.Column("yaw", sa.Float()),
        sa.Column("pitch", sa.Float()),
        sa.Column("roll", sa.Float()),
        sa.Column("sharpness", sa.Float()),
        sa.Column("brightness", sa.Float()),
        sa.Column("votes", sa.Text()),
        sa.Column("soft_label", sa.Text()),
        sa.Column("split", sa.Text()),
        sa.Column("group", sa.Text()),
        sa.Column("extra", sa.Text()),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_faces_image_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_faces")),
        sa.UniqueConstraint("face_id", name=op.f("uq_faces_face_id")),
    )
    op.create_index(op.f("ix_faces_image_id"), "faces", ["image_id"], unique=False)
    op.create_table(
        "links",
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("annotator_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used", sa.DateTime(timezone=True)),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotators.id"], name=op.f("fk_links_annotator_id")
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_links")),
    )
    op.create_index(op.f("ix_links_annotator_id"), "links", ["annotator_id"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("annotator_id", sa.BigInteger(), nullable=False),
        sa.Column("expires", sa.DateTime(timezone=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotators.id"], name=op.f("fk_sessions_annotator_id")
        ),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_annotator_id"), "sessions", ["annotator_id"], unique=False)
    op.create_table(
        "assignments",
        sa.Column("id", _ID, nullable=False),
        sa.Column("face_id", sa.BigInteger(), nullable=False),
        sa.Column("annotator_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("batch", sa.Text()),
        sa.Column("round", sa.Integer()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("note", sa.Text()),
        sa.Column("annotation", sa.Text()),
        sa.Column("expires", sa.DateTime(timezone=True)),
        sa.Column("answered", sa.DateTime(timezone=True)),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotators.id"], name=op.f("fk_assignments_annotator_id")
        ),
        sa.ForeignKeyConstraint(["face_id"], ["faces.id"], name=op.f("fk_assignments_face_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_assignments")),
    )
    op.create_index("ix_assignments_face", "assignments", ["face_id", "annotator_id"], unique=False)
    op.create_index(
        "ix_assignments_leased",
        "assignments",
        ["expires"],
        unique=False,
        postgresql_where=sa.text("state = 'leased'"),
        sqlite_where=sa.text("state = 'leased'"),
    )
    op.create_index(
        "ix_assignments_person", "assignments", ["annotator_id", "state", "id"], unique=False
    )
    op.create_table(
        "gold",
        sa.Column("face_id", _ID, autoincrement=False, nullable=False),
        sa.Column("expression", sa.Text(), nullable=False),
        sa.Column("valence", sa.Float()),
        sa.Column("arousal", sa.Float()),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("place", sa.Float(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["face_id"], ["faces.id"], name=op.f("fk_gold_face_id")),
        sa.PrimaryKeyConstraint("face_id", name=op.f("pk_gold")),
    )
    op.create_index(op.f("ix_gold_place"), "gold", ["place"], unique=False)
    op.create_table(
        "tasks",
        sa.Column("face_id", _ID, autoincrement=False, nullable=False),
        sa.Column("batch_id", sa.BigInteger(), nullable=False),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("given", sa.Integer(), nullable=False),
        sa.Column("done", sa.Integer(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("place", sa.Float(), nullable=False),
        sa.Column("prelabel", sa.Text()),
        sa.Column("review", sa.Text()),
        sa.Column("reasons", sa.Text()),
        sa.ForeignKeyConstraint(["batch_id"], ["batches.id"], name=op.f("fk_tasks_batch_id")),
        sa.ForeignKeyConstraint(["face_id"], ["faces.id"], name=op.f("fk_tasks_face_id")),
        sa.PrimaryKeyConstraint("face_id", name=op.f("pk_tasks")),
    )
    op.create_index(
        "ix_tasks_open",
        "tasks",
        ["batch_id", "level", "place"],
        unique=False,
        postgresql_where=sa.text("given < wanted"),
        sqlite_where=sa.text("given < wanted"),
    )
    op.create_index(
        "ix_tasks_review",
        "tasks",
        ["face_id"],
        unique=False,
        postgresql_where=sa.text("review = 'open'"),
        sqlite_where=sa.text("review = 'open'"),
    )
    op.create_table(
        "annotations",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("face_id", sa.BigInteger(), nullable=False),
        sa.Column("annotator_id", sa.BigInteger(), nullable=False),
        sa.Column("assignment_id", sa.BigInteger()),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("expression", sa.Text()),
        sa.Column("valence", sa.Float()),
        sa.Column("arousal", sa.Float()),
        sa.Column("occluded", sa.Boolean()),
        sa.Column("flag", sa.Text()),
        sa.Column("comment", sa.Text()),
        sa.Column("seconds", sa.Float()),
        sa.Column("region_shown", sa.Boolean()),
        sa.Column("prelabel_shown", sa.Boolean()),
        sa.Column("instructions", sa.Text()),
        sa.Column("tool", sa.Text()),
        sa.Column("batch", sa.Text()),
        sa.Column("round", sa.Integer()),
        sa.Column("replaces", sa.Text()),
        sa.Column("void", sa.Boolean(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.Column("origin", sa.Text()),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["annotators.id"], name=op.f("fk_annotations_annotator_id")
        ),
        sa.ForeignKeyConstraint(
            ["assignment_id"], ["assignments.id"], name=op.f("fk_annotations_assignment_id")
        ),
        sa.ForeignKeyConstraint(["face_id"], ["faces.id"], name=op.f("fk_annotations_face_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotations")),
    )
    op.create_index(op.f("ix_annotations_face_id"), "annotations", ["face_id"], unique=False)
    op.create_index(
        "ix_annotations_person", "annotations", ["annotator_id", "kind", "at"], unique=False
    )
    op.create_index(op.f("ix_annotations_replaces"), "annotations", ["replaces"], unique=False)
