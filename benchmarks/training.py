"""The training's data path and its step, each against what one would write by hand.

Loader: 224 × 224 JPEGs from disk to uint8 batches on one thread, against `cv2.imdecode` alone (flip
only), and against torchvision's ImageFolder with Pillow, RandomResizedCrop, flip, ToTensor and
Normalize (random resized crop + flip). Step: the loop's own against a bare torch loop, both on
pictures in memory, the same net, batch and optimizer. Ratios of one run, interleaved.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from openaffect.dataset import Dataset, open_dataset
from openaffect.dataset_writer import write_dataset
from openaffect.face_row import FaceRow
from openaffect.labels import EMOTIONS
from openaffect.progress import Progress
from openaffect.synthetic import synthesize_face
from openaffect.training import loop
from openaffect.training.loader import CropReader, iterate_batches
from openaffect.training.network import Network
from openaffect.training.recipe import Recipe
from openaffect.training.targets import choose_targets

PICTURES = 3840  # an epoch long enough for its start not to count
ROUNDS = 5
PAIRS = 16  # of short trainings, whose times differ by a fifth from one to the next


def make_faces(folder: Path, size: int, count: int) -> Dataset:
    """A dataset of drawn JPEGs that are the crops, 12 faces moved about."""
    rng = np.random.default_rng(0)
    drawn = [synthesize_face(EMOTIONS[n % 8], seed=n, size=size).image for n in range(12)]
    with write_dataset(folder, check_images=False) as writer:
        for number in range(count):
            label = EMOTIONS[number % 8]
            name = f"{label}/{number:05d}.jpg"
            path = writer.images_folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            image = np.roll(drawn[number % 12], rng.integers(-20, 20, 2), (0, 1))
            cv2.imwrite(str(path), image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])
            writer.add(FaceRow(f"{number}", name, expression=label))
    return open_dataset(folder)


def recipe(**settings: Any) -> Recipe:
    """The small net at 224 px without any change of the picture but those that are named."""
    values: dict[str, Any] = {
        "resize": 224,
        "size": 224,
        "batch_size": 64,
        "flip": True,
        "early_stopping_fraction": 0.1,
    }
    return Recipe(name="b", source="a benchmark", backbone="resnet-small", **(values | settings))


def load_ours(dataset: Dataset, chosen: Recipe) -> float:
    """Pictures a second of an epoch, one reading thread, nothing kept."""
    targets = choose_targets(dataset, chosen)
    reader = CropReader(dataset, chosen, threads=1, memory=0)
    began = time.perf_counter()
    count = sum(len(batch) for batch in iterate_batches(chosen, targets, reader, epoch=0))
    seconds = time.perf_counter() - began
    reader.close()
    return count / seconds


def load_by_hand(dataset: Dataset) -> float:
    """Read the file, `cv2.imdecode`."""
    began = time.perf_counter()
    for path in dataset.image_paths:
        cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
    return len(dataset) / (time.perf_counter() - began)


def load_by_torchvision(dataset: Dataset) -> float:
    """ImageFolder and Pillow, in this process, as one worker of a DataLoader does it."""
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    changes = transforms.Compose(
        [
            transforms.RandomResizedCrop(224, scale=(0.35, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * 3, [0.25] * 3),
        ]
    )
    folder = ImageFolder(str(dataset.images_folder), changes)
    loader = torch.utils.data.DataLoader(folder, batch_size=64, shuffle=True)
    began = time.perf_counter()
    count = sum(len(images) for images, _ in loader)
    return count / (time.perf_counter() - began)


def compare_loaders(folder: Path) -> None:
    """The two ratios, medians over interleaved rounds."""
    dataset = make_faces(folder / "large", 224, PICTURES)
    flip, window = recipe(), recipe(crops="resized")
    rates: dict[str, list[float]] = {"flip": [], "imdecode": [], "window": [], "torchvision": []}
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    for _ in range(ROUNDS):
        rates["imdecode"].append(load_by_hand(dataset))
        rates["flip"].append(load_ours(dataset, flip))
        rates["window"].append(load_ours(dataset, window))
        rates["torchvision"].append(load_by_torchvision(dataset))
    for one, other, aim in (("flip", "imdecode", 0.8), ("window", "torchvision", 2.5)):
        ratios = [a / b for a, b in zip(rates[one], rates[other], strict=True)]
        print(
            f"loader, {one}: {statistics.median(rates[one]):,.0f} pictures/s, "
            f"{statistics.median(ratios):.2f} × {other} (aim >= {aim})"
        )


def step_bare(dataset: Dataset, chosen: Recipe, steps: int) -> float:
    """Seconds a step of a loop that anyone would write, on the same pictures."""
    targets = choose_targets(dataset, chosen)
    reader = CropReader(dataset, chosen)
    images, _ = reader.read(targets.rows)
    reader.close()
    network = Network(chosen).train()
    optimizer = torch.optim.AdamW(network.parameters(), chosen.learning_rate)
    pictures = torch.from_numpy(images).permute(0, 3, 1, 2)  # channels last, as ours
    truth = torch.from_numpy(targets.classes)
    times = []
    for step in range(steps):
        began = time.perf_counter()
        rows = torch.arange(64) + 64 * (step % (len(truth) // 64))
        optimizer.zero_grad(set_to_none=True)
        logits, _ = network(pictures[rows].float())
        torch.nn.functional.cross_entropy(logits, truth[rows]).backward()
        optimizer.step()
        times.append(time.perf_counter() - began)
    return statistics.median(times[3:])


def step_ours(dataset: Dataset, chosen: Recipe, run: Path) -> float:
    """Seconds a step of openaffect's loop: the median from one step to the next."""
    stamps: list[float] = []

    def stamp(event: Progress) -> None:
        if event.phase == "training":
            stamps.append(time.perf_counter())

    loop.train(dataset, run, chosen, overwrite=True, on_progress=stamp)
    return float(statistics.median(np.diff(stamps)[3:]))


def compare_steps(folder: Path) -> None:
    """The ratio of the steps, medians over interleaved rounds."""
    dataset = make_faces(folder / "small", 48, 64 * 30)
    chosen = recipe(
        resize=48,
        size=48,
        epochs=1,
        optimizer="adamw",
        learning_rate=0.001,
        flip=False,
        checkpoint_steps=1000,
        temperature=False,
    )
    torch.set_num_threads(2)
    pairs = []
    for number in range(PAIRS):  # which of the two comes first alternates
        early = step_bare(dataset, chosen, 27) if number % 2 else None
        ours = step_ours(dataset, chosen, folder / "run")
        pairs.append((ours, early or step_bare(dataset, chosen, 27)))
    ratio = statistics.median(ours / bare for ours, bare in pairs)
    ours = statistics.median(ours for ours, _ in pairs)
    print(
        f"step of 64 faces at 48 px: {1000 * ours:.0f} ms, {ratio:.3f} × a bare loop (aim <= 1.05)"
    )


def main() -> None:
    """Both comparisons."""
    with tempfile.TemporaryDirectory() as folder:
        compare_loaders(Path(folder))
        compare_steps(Path(folder))


if __name__ == "__main__":
    main()
