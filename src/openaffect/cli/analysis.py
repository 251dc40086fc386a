"""Photos analysed; the weights files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from openaffect import console
from openaffect.cli.options import AsJson, Overwrite, Workers, app


@app.command()
def analyze(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE…", help="Photos, folders, patterns, .txt lists."),
    ],
    model: Annotated[Path, typer.Option(metavar="MODEL", help="A run, or an .onnx file.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="A .parquet, .csv or .jsonl file to make."),
    ] = None,
    drawings: Annotated[
        Path | None, typer.Option("--draw", metavar="DIR", help="Draw the results here.")
    ] = None,
    detector: Annotated[str, typer.Option(help="auto, yunet or haar.")] = "auto",
    landmarks: Annotated[
        str | None, typer.Option(help="dlib finds 68 landmarks (extra landmarks).")
    ] = None,
    min_confidence: Annotated[
        float, typer.Option(help="Below it no expression is named.", min=0, max=1)
    ] = 0.0,
    min_score: Annotated[
        float | None, typer.Option(help="Leave out faces below it.", min=0, max=1)
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Faces the model sees at once.", min=1)] = 32,
    workers: Workers = None,
    json: AsJson = False,
    overwrite: Overwrite = False,
) -> None:
    """Every face of photos: box, expression, valence and arousal, one row a face.

    Example: openaffect analyze photo.jpg --model run --draw out
    """
    from openaffect.analysis import analyze, draw_folder
    from openaffect.analysis.table import check_suffix
    from openaffect.errors import DestinationExists
    from openaffect.faces import resolve_detector
    from openaffect.model import open_model

    if output is not None:
        check_suffix(output)
        if output.exists() and not overwrite:
            raise DestinationExists(output)
    chosen = resolve_detector(detector)
    if detector == "auto":
        hint = "" if chosen == "yunet" else " (`openaffect weights yunet` fetches a better one)"
        console.note(f"detector: {chosen}{hint}")
    if landmarks is not None:
        _print_notice(landmarks)
    with console.progress_bar("analysing") as progress:
        result = analyze(
            sources,
            open_model(model),
            detector=chosen,
            landmarks=landmarks,
            min_confidence=min_confidence,
            min_score=min_score,
            batch_size=batch_size,
            workers=workers,
            progress=progress,
        )
    if output is not None:
        result.save(output, overwrite=overwrite)
        console.note(f"{len(result):,} rows in {output}")
    elif json:
        console.print_json(result.table.drop_columns(["landmarks"]).to_pylist())
    else:
        _print_faces(result.table.to_pylist())
    if drawings is not None:
        made = draw_folder(result, drawings, overwrite=overwrite)
        drawn = sum(path is not None for path in made.values())
        console.note(f"{drawn:,} pictures in {drawings}")


@app.command()
def weights(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="Such as yunet.")] = None,
) -> None:
    """Fetch a weights file (address and SHA-256 are pinned); without a name, list them.

    Example: openaffect weights yunet
    """
    from openaffect.weights import WEIGHTS, download_weights, find_weights, weights_folder

    if name is not None:
        console.say(f"{name}: {download_weights(name)}")
        return
    rows = [
        [key, "here" if find_weights(key) else "missing", known.licence, known.purpose]
        for key, known in WEIGHTS.items()
    ]
    console.print_table(["name", "state", "licence", "purpose"], rows)
    console.say(f"folder: {weights_folder()}")


def _print_notice(landmarker: str) -> None:
    from openaffect import lookup

    module = lookup.load("openaffect.faces.landmarkers", landmarker, "landmarker")
    console.note(module.NOTICE)


def _print_faces(rows: list[dict[str, Any]]) -> None:
    table: list[list[object]] = []
    for row in rows:
        if row["status"] != "ok":
            table.append([row["source"], row["error"] or row["status"], "", "", "", ""])
            continue
        box = " ".join(f"{value:.0f}" for value in row["box"])
        affect = [row.get(key) for key in ("valence", "arousal")]
        table.append(
            [
                row["source"],
                row["expression"] or "–",
                *(
                    "" if value is None else f"{value:.2f}"
                    for value in (row["confidence"], *affect)
                ),
                box,
            ]
        )
    console.print_table(["source", "expression", "confidence", "valence", "arousal", "box"], table)
