"""One request of 30 images of 40 megapixels, and two more like it: others must not wait."""

from __future__ import annotations

import threading
import zlib

from attacks import measure
from attacks.image_builders import PNG, chunk, ihdr
from attacks.server import serving

WIDTH, HEIGHT = 8000, 5000
IMAGE = b"".join(
    [
        *(PNG, ihdr(WIDTH, HEIGHT)),
        chunk(b"IDAT", zlib.compress(bytes(HEIGHT * (1 + 3 * WIDTH)))),
        chunk(b"IEND"),
    ]
)
PART = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
BODY = b"".join((PART + IMAGE + b"\r\n") for _ in range(30)) + b"--b--\r\n"


def attack(port: int, statuses: list[int]) -> None:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=100)
    try:
        connection.request(
            "POST", "/v1/analyze", BODY, {"Content-Type": "multipart/form-data; boundary=b"}
        )
        statuses.append(connection.getresponse().status)
    except OSError:
        statuses.append(0)
    finally:
        connection.close()


with serving() as service:
    statuses: list[int] = []
    attackers = [
        threading.Thread(target=attack, args=(service.port, statuses), daemon=True)
        for _ in range(3)
    ]
    with service.watched():
        for one in attackers:
            one.start()
        for one in attackers:
            one.join(40)
    measure.finish(service.held, f"{len(BODY):,} bytes each, statuses {statuses}; {service}")
