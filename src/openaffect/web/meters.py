"""Counts and times of a service, as text that Prometheus reads (exposition format 0.0.4)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper ends of the histogram of seconds."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Meters:
    """What a service has done since it started; used from one thread, the event loop's."""

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._pictures: Counter[str] = Counter()
        self._buckets: Counter[float] = Counter()
        self._seconds = 0.0
        self._timed = 0
        self._faces = 0
        self._batches = 0
        self._crops = 0

    def count_request(self, route: str, status: int) -> None:
        """A request was answered, or left by its client (status 499)."""
        self._requests[route, status] += 1

    def count_picture(self, status: str, faces: int) -> None:
        """A picture was analyzed: `ok`, `no_face_found` or `error`, and so many faces."""
        self._pictures[status] += 1
        self._faces += faces

    def count_batch(self, crops: int) -> None:
        """The model has seen a batch."""
        self._batches += 1
        self._crops += crops

    def time_analysis(self, seconds: float) -> None:
        """An analysis was answered with status 200."""
        self._timed += 1
        self._seconds += seconds
        for end in BUCKETS_S:
            if seconds <= end:
                self._buckets[end] += 1

    def to_text(self, waiting: int, places: int) -> str:
        """All of it, and the queue as it is now."""
        return "".join(f"{line}\n" for line in self._lines(waiting, places))

    def _lines(self, waiting: int, places: int) -> Iterator[str]:
        yield from _head("requests_total", "counter", "Requests by route and status.")
        for (route, status), count in sorted(self._requests.items()):
            yield _line("requests_total", count, {"route": route, "status": str(status)})
        yield from _head("pictures_total", "counter", "Pictures analyzed, by their status.")
        for name, count in sorted(self._pictures.items()):
            yield _line("pictures_total", count, {"status": name})
        for name, value, text in (
            ("faces_total", self._faces, "Faces judged."),
            ("batches_total", self._batches, "Batches that the model has seen."),
            ("batch_crops_total", self._crops, "Crops in these batches."),
        ):
            yield from _head(name, "counter", text)
            yield _line(name, value)
        for name, value, text in (
            ("queue_pictures", waiting, "Pictures that wait or are in work."),
            ("queue_places", places, "How many may."),
        ):
            yield from _head(name, "gauge", text)
            yield _line(name, value)
        name = "analyze_seconds"
        yield from _head(name, "histogram", "Seconds from a request to its answer, status 200.")
        for end in BUCKETS_S:
            yield _line(f"{name}_bucket", self._buckets[end], {"le": f"{end:g}"})
        yield _line(f"{name}_bucket", self._timed, {"le": "+Inf"})
        yield _line(f"{name}_sum", self._seconds)
        yield _line(f"{name}_count", self._timed)


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP openaffect_{name} {text}"
    yield f"# TYPE openaffect_{name} {kind}"


def _line(name: str, value: float, labels: Mapping[str, str] | None = None) -> str:
    inside = ",".join(f'{key}="{text}"' for key, text in (labels or {}).items())
    return f"openaffect_{name}{{{inside}}} {value!r}" if inside else f"openaffect_{name} {value!r}"
