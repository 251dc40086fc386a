"""What the analysis service counts and times."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from openaffect.web.analysis.admission import AdmissionQueue

BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper ends of the histogram of seconds."""


class Metrics:
    """Counts since the service started.

    Attributes:
        images: by their status: `ok`, `no_face_found` or `error`.
        faces: that were found in them.
        batches, crops: that the model has seen.
        seconds: from a request to its answer with status 200.
    """

    def __init__(self, registry: CollectorRegistry, queue: AdmissionQueue) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"openaffect_{name}", text, labels, registry=registry)

        self.images = counter("pictures", "Pictures analyzed, by their status.", "status")
        self.faces = counter("faces", "Faces judged.")
        self.batches = counter("batches", "Batches that the model has seen.")
        self.crops = counter("batch_crops", "Crops in these batches.")
        self.seconds = Histogram(
            "openaffect_analyze_seconds",
            "Seconds from a request to its answer, status 200.",
            buckets=BUCKETS_S,
            registry=registry,
        )
        for name, text, value in (
            ("queue_pictures", "Pictures that wait or are in work.", lambda: queue.in_use),
            ("queue_places", "How many may.", lambda: queue.places),
        ):
            Gauge(f"openaffect_{name}", text, registry=registry).set_function(value)

    def count_batch(self, crops: int) -> None:
        """The model has seen a batch."""
        self.batches.inc()
        self.crops.inc(crops)
