"""The service against its own OpenAPI: schemathesis makes requests, good and bad, from the document."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from builders import tiny_model
from openaffect.web import make_app


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:schemathesis", "ignore::ResourceWarning")
def test_every_answer_is_one_that_the_openapi_describes(tmp_path):
    # Only this one test needs it, and its import takes a second.
    import schemathesis
    from schemathesis.core.result import Ok
    from schemathesis.specs.openapi.checks import positive_data_acceptance

    app = make_app(tiny_model(tmp_path / "tiny.onnx"), detector="haar", token="t")
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    tried = []
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()

        @settings(
            max_examples=25,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=[*HealthCheck],
        )
        def try_one(case):
            case.call_and_validate(
                headers={"Authorization": "Bearer t"},
                # What a server was told to take at most stands in its answers, not in the document.
                excluded_checks=[positive_data_acceptance],
            )
            tried.append(case.path)

        given(operation.as_strategy())(try_one)()
    assert {*tried} == {"/v1/analyze", "/v1/models", "/metrics", "/healthz"} | {
        f"/v1/models/{name}.onnx" for name in ("model", "yunet")
    }
