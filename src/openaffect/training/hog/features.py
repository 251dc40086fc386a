"""Faces as HOG features, read in parts so that no more than a part needs to be in memory."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from openaffect.dataset import Dataset
from openaffect.progress import OnProgress
from openaffect.training.hog import graph
from openaffect.training.loader import CropReader
from openaffect.training.progress import tell_reading
from openaffect.training.recipe import Recipe

_PART = 256


class FeatureReader:
    """Reads faces as HOG features on several threads.

    Attributes:
        crops: the reader of the pictures, which knows the broken ones.
        total: faces to read in all, for the progress.
        seconds: spent reading so far.
    """

    def __init__(self, dataset: Dataset, recipe: Recipe, on_progress: OnProgress) -> None:
        self.crops = CropReader(dataset, recipe, threads=os.cpu_count() or 1)
        self.total = 0
        self.seconds = 0.0
        self._width = graph.count_features(recipe.resize)
        self._done = 0
        self._on_progress = on_progress
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # one face per thread is faster than threads within a face
        self._session = onnxruntime.InferenceSession(
            graph.features_graph(recipe.resize).SerializeToString(),
            options,
            providers=["CPUExecutionProvider"],
        )

    def close(self) -> None:
        """End the threads."""
        self.crops.close()

    def compute(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Features (n, features) of crops (n, size, size, 3)."""
        image = np.ascontiguousarray(crops.transpose(0, 3, 1, 2), dtype=np.float32)
        features: NDArray[np.float32] = self._session.run(None, {"image": image})[0]
        return features

    def read(
        self, rows: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """Features (m, features) and places in `rows` (m,) of those that can be read, in parts."""
        for start in range(0, len(rows), _PART):
            began = time.monotonic()
            part = rows[start : start + _PART]
            features = np.empty((len(part), self._width), np.float32)
            good = np.flatnonzero(self.crops.visit(part, partial(self._put, features)))
            self._done += len(part)
            self.seconds += time.monotonic() - began
            self._on_progress(tell_reading(self._done, self.total))
            yield features[good], start + good

    def read_all(self, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The same of all rows together."""
        features = np.empty((len(rows), self._width), np.float32)
        found = [np.empty(0, np.int64)]
        filled = 0
        for part, places in self.read(rows):
            features[filled : filled + len(part)] = part
            filled += len(part)
            found.append(places)
        return features[:filled], np.concatenate(found)

    def _put(self, features: NDArray[np.float32], number: int, crop: NDArray[np.uint8]) -> None:
        features[number] = self.compute(crop[None])[0]
