"""The service itself: pictures in, rows out, with everything that works behind the routes."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np

from openaffect.circumplex import CLASS_MEANS
from openaffect.faces import find_faces, resolve_detector
from openaffect.inference import FaceOutputs, describe_model, predict_crops, sorted_labels
from openaffect.model import Model, open_model
from openaffect.web.analysis.admission import AdmissionQueue
from openaffect.web.analysis.answers import ModelEntry, ModelFacts, ModelList, fill_rows
from openaffect.web.analysis.batching import Batcher
from openaffect.web.analysis.fair_semaphore import FairSemaphore
from openaffect.web.analysis.metrics import Metrics
from openaffect.web.analysis.preprocessing import (
    AnalyzeParams,
    Detections,
    detect_and_crop,
    is_huge,
)
from openaffect.web.analysis.uploads import HeldBytes, Upload
from openaffect.web.browser import RUNTIME, is_installed
from openaffect.web.limits import Limits
from openaffect.web.metrics import Registry
from openaffect.weights import find_weights

MODEL_FILE = "/v1/models/model.onnx"
DETECTOR_FILE = "/v1/models/yunet.onnx"


class Service:
    """A model, a detector, and the threads and queues around them.

    Attributes:
        facts: of the model, as in every answer.
        limits: what is taken on.
        queue: the bounded queue.
        held: the bytes of all bodies that are here.
        registry, metrics: what was done so far.
    """

    def __init__(self, model: Model | str | Path, detector: str, limits: Limits) -> None:
        self.model = model if isinstance(model, Model) else open_model(model)
        self.detector = resolve_detector(detector)
        self.limits = limits
        self.queue = AdmissionQueue(limits.queue)
        self.registry = Registry()
        self.metrics = Metrics(self.registry, self.queue)
        self.held = HeldBytes(limits.held_bytes)
        self.facts = _facts(self.model)
        self._warm_up()

    def _warm_up(self) -> None:
        """Use the model and the detector once: what is wrong shows now and not at a request."""
        width, height = self.model.card.size
        self._predict([np.zeros((height, width, 3), np.uint8)])
        find_faces(np.zeros((64, 64, 3), np.uint8), self.detector)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The threads; at the end, what waits is finished."""
        limits = self.limits
        self._batcher = Batcher(
            self._predict,
            most=limits.batch,
            wait_s=limits.batch_wait_ms / 1000,
            seen=self.metrics.count_batch,
        )
        # One decoded picture per slot is in memory. Huge ones have one slot between them, and
        # a thread, so that small ones never wait for them.
        self._detectors = ThreadPoolExecutor(limits.threads + 1, "openaffect-detect")
        self._slots = {False: FairSemaphore(limits.threads), True: FairSemaphore(1)}
        self._batcher.start()
        try:
            yield
        finally:
            await self._batcher.close()
            self._detectors.shutdown()

    async def analyze(self, uploads: list[Upload], params: AnalyzeParams) -> dict[str, Any]:
        """The answer for the pictures of a request; JSON-ready but for NaN, which it never has."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._analyze_one(one, params, group)) for one in uploads]
        return {"model": self.facts, "images": [task.result() for task in tasks]}

    async def _analyze_one(
        self, upload: Upload, params: AnalyzeParams, request: object
    ) -> dict[str, Any]:
        face_outputs = None
        async with self._slots[is_huge(upload)].acquire(request):
            found = await asyncio.get_running_loop().run_in_executor(
                self._detectors, self._detect, upload, params
            )
            crops = [crop for crop in found.crops if not isinstance(crop, str)]
            if len(crops) > self.limits.batch:  # a crowd: no more crops meanwhile
                face_outputs = await self._batcher.predict(crops)
        if crops and face_outputs is None:
            face_outputs = await self._batcher.predict(crops)
        rows = fill_rows(found, face_outputs, self.detector, params)
        self.metrics.images.labels(rows[0]["status"]).inc()
        self.metrics.faces.inc(len(found.faces))
        width, height = found.size or (None, None)
        return {
            "source": found.name,
            "width": width,
            "height": height,
            "faces_found": found.found,
            "rows": rows,
        }

    def _detect(self, upload: Upload, params: AnalyzeParams) -> Detections:
        card, pixels = self.model.card, self.limits.max_pixels
        return detect_and_crop(upload, card, self.detector, params, pixels)

    def _predict(self, crops: list[np.ndarray[Any, np.dtype[np.uint8]]]) -> FaceOutputs:
        return predict_crops(self.model, crops, batch_size=self.limits.batch)

    def list_models(self) -> ModelList:
        """What is served."""
        card = self.model.card
        return ModelList(
            models=[
                ModelEntry(
                    file=MODEL_FILE,
                    bytes=os.path.getsize(self.model.path),
                    sha256=self.facts.sha256,
                    card=dataclasses.replace(card, learned=""),  # 100 kB that no client needs
                )
            ],
            detector=self.detector,
            browser_detector=DETECTOR_FILE if find_weights("yunet") else None,
            browser_runtime=is_installed(RUNTIME),
            circumplex={
                label.value: CLASS_MEANS[label]
                for label in sorted_labels(card)
                if label in CLASS_MEANS
            },
        )


def _facts(model: Model) -> ModelFacts:
    card = model.card
    return ModelFacts(
        name=card.name,
        sha256=describe_model(model)["model_sha256"],
        labels=[label.value for label in sorted_labels(card)],
        affect=card.affect,
        affect_origins=card.affect_origins,
        size=card.size,
        protocol_warning=card.protocol_warning,
    )
