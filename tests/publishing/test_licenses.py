"""Licenses, as providers write them."""

from __future__ import annotations

import pytest

from openaffect.licenses import has_personality_rights, parse_license, refuse_pixels


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CC0-1.0", "CC0-1.0"),
        ("cc0", "CC0-1.0"),
        ("CC0 1.0", "CC0-1.0"),
        ("CC-Zero", "CC0-1.0"),
        ("https://creativecommons.org/publicdomain/zero/1.0/deed.de", "CC0-1.0"),
        ("pdm", "CC-PDM-1.0"),
        ("Public domain", "CC-PDM-1.0"),
        ("http://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0"),
        ("CC BY 4.0", "CC-BY-4.0"),
        ("cc-by-2.0", "CC-BY-2.0"),
        ("CC BY-SA 4.0", "CC-BY-SA-4.0"),
        ("by-sa", "CC-BY-SA"),
        ("BY-NC-ND", "CC-BY-NC-ND"),
        ("CC BY-SA 3.0 de", "CC-BY-SA-3.0"),
        ("https://creativecommons.org/licenses/by-nc-sa/2.0/", "CC-BY-NC-SA-2.0"),
        ("//creativecommons.org/licenses/by/3.0/de/legalcode", "CC-BY-3.0"),
        ("Creative Commons Attribution-ShareAlike 4.0 International", "CC-BY-SA-4.0"),
        ("Attribution-NonCommercial-NoDerivs License", "CC-BY-NC-ND"),
        ("Attribution License", "CC-BY"),
        ("Apache-2.0", "Apache-2.0"),
        ("Apache License, Version 2.0", "Apache-2.0"),
        ("MIT License", "MIT"),
    ],
)
def test_spellings(text, name):
    found = parse_license(text)
    assert found is not None
    assert found.id == name


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "  ", "unknown", "All rights reserved", "CC", "CC BY-XX 4.0", "GPL-3.0"),
        *("CC BY 4.0 or later maybe", "fair use", "https://example.org/licenses/by/4.0/"),
    ],
)
def test_what_is_not_known_is_none(text):
    assert parse_license(text) is None


def test_an_address_tells_the_version_and_never_another_license():
    by = "https://creativecommons.org/licenses/by/2.0/"
    for text in ("by", None, " "):
        found = parse_license(text, by)
        assert found is not None
        assert found.id == "CC-BY-2.0"
    strange = parse_license("by-sa", by)
    assert strange is not None
    assert strange.id == "CC-BY-SA"
    assert parse_license("All rights reserved", by) is None


@pytest.mark.parametrize(
    ("text", "reason", "non_commercial"),
    [
        ("CC0-1.0", None, None),
        ("CC BY-SA 4.0", None, None),
        ("MIT", None, None),
        ("CC BY-ND 4.0", "no crop", "no crop"),
        ("CC BY-NC 4.0", "non-commercial", None),
        ("CC BY-NC-ND 4.0", "no crop", "no crop"),
        ("All rights reserved", "unknown license", "unknown license"),
        (None, "no license", "no license"),
    ],
)
def test_the_gate(text, reason, non_commercial):
    for asked, expected in ((False, reason), (True, non_commercial)):
        why = refuse_pixels(text, non_commercial=asked)
        assert (why is None) is (expected is None)
        assert expected is None or expected in (why or "")


def test_personality_rights():
    assert has_personality_rights("personality, trademarked")
    assert not has_personality_rights("trademarked")
    assert not has_personality_rights(None)
