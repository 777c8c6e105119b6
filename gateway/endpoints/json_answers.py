"""JSON that a client may keep: 200, or 304 if the client has it."""

from starlette.responses import Response

from gateway.http.heads import Headers
from gateway.http.planning import plan_answer
from gateway.http.representation import Variant


def conditional_answer(
    method: str, headers: Headers, variant: Variant, cache_control: bytes
) -> Response:
    """Raises: PreconditionFailed."""
    # A Range is ignored (RFC 9110 §14.2 allows it): nobody needs a part of a JSON text.
    whole = {name: value for name, value in headers.items() if name != b"range"}
    plan = plan_answer(method, whole, variant, cache_control)
    response = Response(plan.body(variant.content or b""), plan.status)
    response.raw_headers = list(plan.fields)
    return response
