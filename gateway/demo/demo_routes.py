"""What only `gateway demo` has: facts of its site, and a button that publishes the next version.

Everything else on the page is done by the gateway's own URLs, with the user's token.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.application import Gateway
from gateway.demo.facts import Facts
from gateway.demo.next_version import NextVersions
from gateway.endpoints.bodies import refuse_foreign_page
from gateway.errors import PublishingError
from gateway.http.answers import ErrorAnswer, json_answer


class DemoRoutes:
    def __init__(self, gateway: Gateway) -> None:
        self._facts = Facts(gateway.core)
        self._next = NextVersions(gateway.site)
        self.routes = [
            Route("/demo/facts.json", self._read, methods=["GET"]),
            Route("/demo/publish", self._publish, methods=["POST"]),
        ]

    async def _read(self, _request: Request) -> Response:
        return json_answer(await self._facts.read())

    async def _publish(self, request: Request) -> Response:
        refuse_foreign_page(request)
        try:
            published = await self._next.publish()
        except PublishingError as error:
            return ErrorAnswer(409, "not_published", str(error))
        return json_answer(
            {
                "slug": published.slug,
                "version": published.version,
                "build": published.build,
                "files": published.files,
            },
            201,
        )
