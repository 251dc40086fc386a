"""The annotation application against its own OpenAPI: requests, good and bad, made from the document."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from openaffect.annotation.batches import make_batch
from openaffect.collection import add_dataset
from openaffect.dataset import Dataset
from openaffect.project import accounts, create_project
from openaffect.web.annotation.app import make_app
from openaffect.web.annotation.service import name_cookie
from openaffect.web.annotation.texts import instructions_version

OWNERS = ("/v1/dashboard", "/v1/people", "/v1/batches", "/v1/gold", "/v1/settings", "/v1/events")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:schemathesis", "ignore::ResourceWarning")
@pytest.mark.parametrize("role", ["annotator", "owner"])
def test_every_answer_is_one_that_the_openapi_describes(
    tmp_path: Path, drawn: Dataset, role: str
) -> None:
    # Only this test needs it, and its import takes a second.
    import schemathesis
    from schemathesis.core.result import Ok
    from schemathesis.specs.openapi.checks import positive_data_acceptance, unsupported_method

    with create_project(tmp_path / "faces") as project:
        add_dataset(project, drawn)
        make_batch(project, "all", overlap=2, overlap_share=1.0)
        accounts.use_link(project, accounts.invite(project, "Root", "owner").token, "hash")
        link = accounts.invite(project, "Ada", role)
        token = accounts.use_link(project, link.token, "hash")
        accounts.change_preferences(project, link.person.id, instructions=instructions_version())
        app = make_app(project, without_accounts=False)
        schema = schemathesis.openapi.from_asgi("/openapi.json", app)
        found_statuses: dict[str, Counter[int]] = {}
        for found in schema.get_all_operations():
            assert isinstance(found, Ok)
            operation = found.ok()
            if operation.path in ("/v1/session", "/v1/me/password"):
                continue  # each would hash a password

            @settings(
                max_examples=20,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=[*HealthCheck],
            )
            def try_one(case):
                # Its own session each time: one may have been ended by the request before.
                session = accounts.begin_session(project, link.person.id)
                answer = case.call_and_validate(
                    headers={"Cookie": f"{name_cookie(project)}={session}"},
                    excluded_checks=[positive_data_acceptance, unsupported_method],
                )
                found_statuses.setdefault(case.path, Counter())[answer.status_code] += 1

            given(operation.as_strategy())(try_one)()
        assert len(found_statuses) > 30
        assert token
        statuses = sum(found_statuses.values(), Counter())
        assert not any(status >= 500 for status in statuses)
        theirs = [path for path in found_statuses if path.startswith(OWNERS)]
        assert len(theirs) > 8
        if role == "annotator":
            assert not any(200 in found_statuses[path] for path in theirs)
        else:
            assert any(200 in found_statuses[path] for path in theirs)
