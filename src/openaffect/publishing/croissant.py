"""`croissant.json`: the release for programs, as Croissant 1.1 with the RAI vocabulary 1.0.

JSON-LD written with `json` alone; the `mlcroissant` package validates it in the tests, and a test of
ours holds the names of the RAI properties, for the package lets invented ones pass.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from openaffect.publishing.cards import FORBIDDEN, Subject, license_of
from openaffect.publishing.manifest import hash_file

CONFORMS = (
    "http://mlcommons.org/croissant/1.1",
    "http://mlcommons.org/croissant/RAI/1.0",
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "equivalentProperty": "cr:equivalentProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "arrayShape": "cr:arrayShape",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "sc": "https://schema.org/",
    "samplingRate": "cr:samplingRate",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def write_croissant(what: Subject, folder: Path) -> str:
    """The text of `croissant.json`; the tables that it names must be there."""
    facts = what.facts
    _, license_name = license_of(what)
    files = [
        _file("table", "table/faces.parquet", "application/x-parquet", folder),
        _file("id_map", "id_map.csv", "text/csv", folder),
        _file("attribution", "ATTRIBUTION.csv", "text/csv", folder),
    ]
    data = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": facts["name"],
        "description": (
            f"{facts['faces']:,} faces with facial expression, valence and arousal as others saw them."
        ),
        "conformsTo": [*CONFORMS],
        "version": _semantic(facts["version"]),
        "license": license_name,
        "isAccessibleForFree": not facts["private"],
        "distribution": files,
        "recordSet": [_records(what.table.faces.schema)],
        **_responsible(what),
    }
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def _file(identifier: str, name: str, kind: str, folder: Path) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": identifier,
        "name": name,
        "contentUrl": name,
        "encodingFormat": kind,
        "contentSize": f"{(folder / name).stat().st_size} B",
        "sha256": hash_file(folder / name),
    }


def _records(schema: pa.Schema) -> dict[str, Any]:
    fields = []
    for one in schema:
        kind = one.type
        item: dict[str, Any] = {
            "@type": "cr:Field",
            "@id": f"faces/{one.name}",
            "name": one.name,
            "description": one.name,
            "source": {"fileObject": {"@id": "table"}, "extract": {"column": one.name}},
        }
        if pa.types.is_fixed_size_list(kind):
            item |= {"isArray": True, "arrayShape": str(kind.list_size)}
            kind = kind.value_type
        item["dataType"] = _type(kind)
        fields.append(item)
    return {"@type": "cr:RecordSet", "@id": "faces", "name": "faces", "field": fields}


def _type(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "sc:Boolean"
    if pa.types.is_integer(kind):
        return "sc:Integer"
    return "sc:Float" if pa.types.is_floating(kind) else "sc:Text"


def _responsible(what: Subject) -> dict[str, str]:
    """What is said under the RAI vocabulary; nothing that was not recorded."""
    about = what.about
    annotators = about.get("annotators")
    legal = what.legal
    said = {
        "rai:dataCollection": _sentences(("Ethical review", legal.ethics_approval)),
        "rai:dataAnnotationProtocol": (
            f"expression by {about['rule']}, valence and arousal by {about['affect_rule']}"
            if about.get("rule")
            else ""
        ),
        "rai:annotatorDemographics": f"{annotators} annotators, under pseudonyms"
        if annotators
        else "",
        "rai:dataPreprocessingProtocol": (
            "" if what.facts["whole_photographs"] else "faces were cut out with a margin of 15 %"
        ),
        "rai:machineAnnotationTools": "openaffect" if "model" in what.origins() else "",
        "rai:dataLimitations": "Labels say what others saw in a face, not what the person felt.",
        "rai:dataBiases": (
            "Classes are imbalanced, and what people see in a face depends on who looks."
        ),
        "rai:personalSensitiveInformation": _sentences(
            ("Personal data", "faces of people, who may be known by others"),
            ("Legal basis", legal.legal_basis),
        ),
        "rai:dataUseCases": _sentences(
            ("Made for", legal.purpose),
            ("Fit for", "research on facial expression"),
            ("Not for", " ".join(FORBIDDEN)),
        ),
        "rai:dataReleaseMaintenancePlan": _sentences(
            ("Responsible", legal.controller),
            ("Kept", legal.retention),
            ("People are taken out on request", what.contact),
        ),
    }
    return {name: text for name, text in said.items() if text}


def _sentences(*said: tuple[str, str]) -> str:
    """Each text after what it is about, without those that are empty."""
    texts = ((about, text.strip().rstrip(".")) for about, text in said)
    return " ".join(f"{about}: {text}." for about, text in texts if text)


def _semantic(version: str) -> str:
    return ".".join([*version.split("."), "0", "0"][:3])
