"""The registry of an application's metrics, and the text that Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Metric, generate_latest
from starlette.responses import Response

# Of the text format that `generate_latest` writes for these names; scrapers of any age read it.
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Registry(CollectorRegistry):
    """The metrics of one application, without the time at which each began."""

    def __init__(self) -> None:
        super().__init__(auto_describe=True)
        self.requests = Counter(
            "openaffect_requests",
            "Requests by route and status.",
            ("route", "status"),
            registry=self,
        )

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        for metric in super().collect():
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric

    def response(self) -> Response:
        """The answer of `/metrics`."""
        return Response(generate_latest(self), media_type=_CONTENT_TYPE)
