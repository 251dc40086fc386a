"""The registry of an application's metrics, and the text that Prometheus reads."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.responses import Response

# Of the text format that `generate_latest` writes for these names; scrapers of any age read it.
_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""Set before a process begins, this variable names the folder where it counts beside others."""


class Registry(CollectorRegistry):
    """The metrics of one application, without the time at which each began.

    Args:
        shared: several processes serve the application, and `SHARED` names their folder: what all
            of them have counted is shown, also what ended ones have. For counters alone.
    """

    def __init__(self, *, shared: bool = False) -> None:
        super().__init__(auto_describe=True)
        self._folder = Path(os.environ[SHARED]) if shared else None
        self.requests = Counter(
            "openaffect_requests",
            "Requests by route and status.",
            ("route", "status"),
            registry=self,
        )

    def collect(self) -> Iterable[Metric]:
        """The metrics as they are now."""
        found: Iterable[Metric] = super().collect()
        if self._folder is not None:
            texts = {metric.name: metric.documentation for metric in found}
            collector: Any = MultiProcessCollector
            found = list(collector(None, str(self._folder)).collect())
            for metric in found:
                metric.documentation = texts[metric.name]
        for metric in found:
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric

    def response(self) -> Response:
        """The answer of `/metrics`."""
        return Response(generate_latest(self), media_type=_CONTENT_TYPE)
