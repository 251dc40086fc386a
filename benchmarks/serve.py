"""How many crops a second `openaffect serve` judges, and how long each client waits.

    python benchmarks/serve.py [--model RUN] [--clients 32] [--requests 2000] [--size 224]

Starts the server on the loopback interface of this machine and sends it JPEG face crops, one a
request, from so many clients at once (each with one connection, asking again as soon as it is
answered). Prints crops a second, the 50th and 99th percentile of the time to an answer, and how
many requests were lost (no answer, or another than 200). Without `--model`, one epoch of the
recipe resnet-small on a few synthetic faces makes one: its speed is that of a trained one. Clients
and server share the processors.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from _model import make_model
from openaffect.images import encode_image
from openaffect.synthetic import synthesize_face

PATH = "/v1/analyze?crops=true"


def make_pictures(size: int) -> list[bytes]:
    names = ("happy", "sad", "anger", "surprise")
    return [
        encode_image(synthesize_face(n, seed=i, size=size).image, ".jpg")
        for i, n in enumerate(names)
    ]


class Client(threading.Thread):
    """Asks one question after the other on one connection."""

    def __init__(self, port: int, pictures: list[bytes], count: int) -> None:
        super().__init__()
        self.port, self.pictures, self.count = port, pictures, count
        self.seconds: list[float] = []
        self.lost = 0

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Content-Type": "image/jpeg"}
        for number in range(self.count):
            start = time.perf_counter()
            try:
                connection.request("POST", PATH, self.pictures[number % 4], headers)
                answer = connection.getresponse()
                body = answer.read()
            except OSError:
                self.lost += 1
                connection.close()
                continue
            if answer.status != 200 or json.loads(body)["images"][0]["rows"][0]["status"] != "ok":
                self.lost += 1
            self.seconds.append(time.perf_counter() - start)
        connection.close()


def measure(port: int, pictures: list[bytes], clients: int, requests: int) -> None:
    threads = [Client(port, pictures, requests // clients) for _ in range(clients)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - start
    seconds = [one for thread in threads for one in thread.seconds]
    lost = sum(thread.lost for thread in threads)
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    print(
        f"{clients} clients, {len(seconds)} requests: {len(seconds) / wall:.0f} crops/s, "
        f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, lost {lost}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--size", type=int, default=224, help="of the crops that are sent, pixels")
    chosen = parser.parse_args()
    pictures = make_pictures(chosen.size)
    with tempfile.TemporaryDirectory() as folder:
        model = chosen.model or make_model(Path(folder))
        command = [sys.executable, "-m", "openaffect", "serve", "--port", "0", "--model", model]
        environment = {k: v for k, v in os.environ.items() if k != "OPENAFFECT_TOKEN"}
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[2]
            port = int(address.rpartition(":")[2])
            measure(port, pictures, chosen.clients, 4 * chosen.clients)  # warms everything up
            measure(port, pictures, chosen.clients, chosen.requests)
        finally:
            server.send_signal(signal.SIGINT)
            server.wait()


if __name__ == "__main__":
    main()
