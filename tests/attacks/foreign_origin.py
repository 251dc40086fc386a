"""A page of another site that has its reader's browser ask a service on localhost."""

from __future__ import annotations

import http.client

from attacks import measure
from attacks.server import serving

FOREIGN = (
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"},
    {"Origin": "http://127.0.0.1.evil.example"},
)
ROUTES = (("POST", "/v1/analyze"), ("GET", "/v1/models"), ("GET", "/metrics"))

with serving() as service:
    statuses = []
    for headers in FOREIGN:
        for method, path in ROUTES:
            connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=20)
            connection.request(method, path, b"x", {"Content-Type": "image/png", **headers})
            statuses.append(connection.getresponse().status)
            connection.close()
    measure.finish(set(statuses) == {403}, f"{len(statuses)} requests: {sorted(set(statuses))}")
