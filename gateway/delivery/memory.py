"""The mode for files whose content is in memory."""

from gateway.delivery import DeliveryMode, FileRequest
from gateway.http.answers import send_answer
from gateway.http.heads import Head, Headers
from gateway.http.planning import plain_answer, plan_answer
from gateway.http.representation import Representation, Variant
from gateway.names import AssetKey


class FromMemory(DeliveryMode):
    """Sends the content of the representation."""

    def answer_from_memory(
        self,
        _key: AssetKey,
        representation: Representation,
        cache_control: bytes,
        headers: Headers,
        difference: Variant | None = None,
    ) -> tuple[Head, bytes] | None:
        variant = difference or representation.select(headers.get(b"accept-encoding"))
        if variant.content is None:
            return None
        head = plain_answer(variant, cache_control, headers.get(b"if-none-match"))
        return head, (variant.content if head.status == 200 else b"")

    async def send(
        self,
        _key: AssetKey,
        representation: Representation,
        cache_control: bytes,
        request: FileRequest,
    ) -> bool:
        headers = request.headers
        variant = request.difference or representation.select(headers.get(b"accept-encoding"))
        if variant.content is None:
            return False
        plan = plan_answer(request.method, headers, variant, cache_control)
        await send_answer(request.send, plan.status, plan.fields, plan.body(variant.content))
        return True
