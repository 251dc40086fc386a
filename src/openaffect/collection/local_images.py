"""Images that you have, in a folder or an archive, on their way into a project."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

from openaffect.collection.downloads import make_image_row
from openaffect.collection.examination import Examined, examine_image
from openaffect.collection.hits import describe_item
from openaffect.collection.license_filter import LicenseFilter
from openaffect.collection.opt_outs import find_in_headers
from openaffect.collection.providers import Item
from openaffect.errors import InputError
from openaffect.parallel import map_in_order
from openaffect.project import Project, tombstones, urls
from openaffect.project.rows import ImageRow
from openaffect.project.settings import CollectSettings
from openaffect.project.urls import HitRow
from openaffect.withdrawals import Withdrawals, hash_text, normalize_url

_BATCH = 64  # images of one transaction
_BATCH_BYTES = 64_000_000


@dataclass(slots=True)
class LocalSummary:
    """What a folder or an archive has brought.

    Attributes:
        stored: images that are new.
        known: images that were there already.
        rejected: number of images that were not taken, by reason; `rejected.csv` names them.
    """

    stored: int = 0
    known: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    @property
    def done(self) -> int:
        """How many images were looked at."""
        return self.stored + self.known + self.rejected.total()


def add_local_images(
    project: Project,
    provider: str,
    items: Iterator[Item],
    licenses: LicenseFilter,
    *,
    limit: int | None = None,
    on_batch: Callable[[LocalSummary], None] = lambda _: None,
) -> LocalSummary:
    """Add images that come with their bytes; what cannot be taken goes to `rejected.csv`.

    Opt-outs in the headers that an archive keeps are obeyed, as they are on the web.

    Args:
        project: an open project.
        provider: the source's name.
        items: of its `read_items`.
        licenses: that are wanted.
        limit: at most so many images.
        on_batch: called after each transaction.

    Raises:
        FormatError: the rest of the source cannot be read.
        StoreError: the store cannot be reached.
        DatabaseError: the database does not answer.
    """
    summary = LocalSummary()
    for batch in _gather(items if limit is None else islice(items, limit)):
        _add(project, provider, batch, licenses, summary)
        on_batch(summary)
    return summary


def _gather(items: Iterator[Item]) -> Iterator[list[tuple[Item, bytes | str]]]:
    """Images with their bytes, or why they have none; a batch holds some number and not too many bytes.

    What was gathered before the source could not be read on is given first.
    """
    batch: list[tuple[Item, bytes | str]] = []
    size = 0
    broken: InputError | None = None
    while True:
        try:
            item = next(items, None)
        except InputError as error:
            item, broken = None, error
        if item is not None:
            found = _read(item)
            batch.append((item, found))
            size += len(found)
        if batch and (item is None or len(batch) == _BATCH or size >= _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        if broken is not None:
            raise broken
        if item is None:
            return


def _read(item: Item) -> bytes | str:
    if item.error is not None or item.read is None:
        return item.error or "no image"
    try:
        return item.read()
    except InputError as error:
        return str(error)


def _add(
    project: Project,
    provider: str,
    batch: list[tuple[Item, bytes | str]],
    licenses: LicenseFilter,
    summary: LocalSummary,
) -> None:
    with project.database.read() as connection:
        withdrawn = tombstones.read_tombstones(connection)
    look = partial(_look, provider, licenses, project.settings.collect, withdrawn)
    found = list(map_in_order(look, batch))
    kept = [(item, one) for (item, _), one in zip(batch, found, strict=True) if not one.reason]
    project.store.put_all(
        {
            (image.sha256, image.suffix): one.data
            for _, one in kept
            if (image := one.examined.image) is not None
        }
    )
    rejected = []
    for (item, _), one in zip(batch, found, strict=True):
        if one.reason:
            summary.rejected[one.reason.split(":", maxsplit=1)[0]] += 1
            rejected.append((provider, one.withdrawn or item.name, one.reason))
    _write(project, kept, summary)
    project.reject(rejected)


@dataclass(frozen=True, slots=True)
class _Looked:
    """An image that can be kept, or the reason why it cannot.

    Attributes:
        hit: what is known of it.
        data: its bytes.
        examined: its row.
        reason: why it cannot be kept.
        withdrawn: the hash of its address or file, where that was forgotten: its name may say who it is.
    """

    hit: HitRow
    data: bytes = b""
    examined: Examined = field(default_factory=Examined)
    reason: str | None = None
    withdrawn: str = ""


def _look(
    provider: str,
    licenses: LicenseFilter,
    settings: CollectSettings,
    withdrawn: Withdrawals,
    given: tuple[Item, bytes | str],
) -> _Looked:
    item, data = given
    hit = HitRow(
        provider,
        item.url or "",
        query=item.query,
        intended=item.intended,
        **describe_item(item),
    )
    if isinstance(data, str):
        return _Looked(hit, reason=data)
    reason = licenses.refuse(item.license, item.license_url)
    opt_out = find_in_headers(item.headers)
    if reason is None and opt_out is not None:
        reason = f"{opt_out.kind}: {opt_out.text}"
    if reason is None and item.url is not None and withdrawn.find(url=item.url) is not None:
        gone = hash_text(normalize_url(item.url))
        return _Looked(hit, reason="withdrawn: by address", withdrawn=gone)
    if reason is not None:
        return _Looked(hit, reason=reason)
    if len(data) > settings.max_bytes:
        return _Looked(hit, reason=f"too large: {len(data):,} bytes")
    row = make_image_row(hit, item.url, item.name)
    examined = examine_image(data, row, settings, withdrawn)
    if examined.refused is not None:
        gone = hashlib.sha256(data).hexdigest()
        return _Looked(hit, reason=examined.refused, withdrawn=gone)
    return _Looked(hit, data, examined, examined.failed)


def _write(project: Project, kept: list[tuple[Item, _Looked]], summary: LocalSummary) -> None:
    if not kept:
        return
    images: list[ImageRow] = []
    thumbs: dict[str, bytes | None] = {}
    for _, one in kept:
        image = one.examined.image
        if image is not None:
            images.append(image)
            thumbs[image.sha256] = one.examined.thumb
    with project.database.write() as connection:
        ids, new = urls.add_images(connection, images, thumbs)
        named = {}
        for item, one in kept:
            if item.url is not None and one.examined.image is not None:
                named[item.url] = ids[one.examined.image.sha256]
        hits = [
            one.hit for item, one in kept if item.url is not None and not urls.is_too_long(item.url)
        ]
        urls.add_hits(connection, hits, images=named)
    summary.stored += len(new)
    summary.known += len(kept) - len(new)
