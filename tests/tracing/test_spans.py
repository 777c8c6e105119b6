"""What is a span of what, in one process; the spans stay in memory."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

import pytest
from opentelemetry import trace
from opentelemetry.context import attach, detach
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler

from gateway.caching.entries import Capacity, Times
from gateway.caching.ttl_cache import TTLCache
from gateway.errors import NotInstalled, SourceUnavailable
from gateway.tracing import RequestSpan, current, query_span, span, span_below
from gateway.tracing.spans import OpenTelemetryTracer
from tests.support.ttl_caches import in_loop, quiet

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
NOT_SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-00"}


class Traced:
    """A tracer, and the spans that have ended."""

    def __init__(self, sampler: Sampler = ParentBased(ALWAYS_ON)) -> None:  # noqa: B008
        self._ended = InMemorySpanExporter()
        self.provider = TracerProvider(sampler=sampler)
        self.provider.add_span_processor(SimpleSpanProcessor(self._ended))
        self._tracer = OpenTelemetryTracer(self.provider)

    def request(
        self, path: str = "/", **trusted: str
    ) -> AbstractContextManager[RequestSpan | None]:
        return self._tracer.request("GET", path, "http", trusted)

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        """By name; a name may come once."""
        ended = self._ended.get_finished_spans()
        names = [one.name for one in ended]
        assert len({*names}) == len(names), names
        return {one.name: one for one in ended}

    def ended(self, name: str) -> list[ReadableSpan]:
        return [one for one in self._ended.get_finished_spans() if one.name == name]


@pytest.fixture
def traced() -> Traced:
    return Traced()


def parent_of(one: ReadableSpan) -> int | None:
    return None if one.parent is None else one.parent.span_id


def context_of(one: ReadableSpan) -> trace.SpanContext:
    context = one.get_span_context()
    assert context is not None
    return context


def id_of(one: ReadableSpan) -> int:
    return context_of(one).span_id


def test_nothing_is_recorded_outside_of_a_request(traced: Traced) -> None:
    with span("load", files=3) as opened, query_span("sqlite", "SELECT 1"), span_below(None, "x"):
        assert opened is None
        assert current() is None
    assert traced.spans == {}


def test_a_span_lies_below_the_one_that_is_open_where_it_begins(traced: Traced) -> None:
    with traced.request(), span("outer", files=3):
        with span("inner"):
            pass
        with span("next"):
            pass
    spans = traced.spans
    assert parent_of(spans["GET"]) is None
    assert parent_of(spans["outer"]) == id_of(spans["GET"])
    assert parent_of(spans["inner"]) == parent_of(spans["next"]) == id_of(spans["outer"])
    assert spans["outer"].attributes == {"gateway.files": 3}


def test_the_spans_of_a_request_that_is_not_sampled_are_not_made() -> None:
    traced = Traced(ALWAYS_OFF)
    with traced.request() as opened, span("load") as inner:
        assert opened is inner is current() is None
    assert traced.spans == {}


@in_loop
async def test_a_task_that_outlives_its_request_makes_no_spans() -> None:
    traced, goes_on = Traced(), asyncio.Event()

    async def later() -> None:
        await goes_on.wait()
        with span("too late"):
            pass

    with traced.request():
        task = asyncio.create_task(later())
    goes_on.set()
    await task
    assert list(traced.spans) == ["GET"]


def test_a_request_is_named_by_its_route_and_says_how_it_was_answered(traced: Traced) -> None:
    with traced.request("/a/b") as opened:
        assert opened is not None
        opened.answer("GET", "/a/{name}", 404, "not_installed")
    one = traced.spans["GET /a/{name}"]
    assert one.attributes == {
        "http.request.method": "GET",
        "http.response.status_code": 404,
        "http.route": "/a/{name}",
        "url.path": "/a/b",
        "url.scheme": "http",
        "error.type": "not_installed",
    }
    assert one.status.status_code is trace.StatusCode.UNSET  # the client's error
    assert one.kind is trace.SpanKind.SERVER


def test_an_answer_of_500_or_more_is_an_error(traced: Traced) -> None:
    with traced.request() as opened:
        assert opened is not None
        opened.answer("GET", None, 503, "source_unavailable")
    assert traced.spans["GET"].status.status_code is trace.StatusCode.ERROR


def test_a_method_that_nobody_knows_names_no_span(traced: Traced) -> None:
    with OpenTelemetryTracer(traced.provider).request("BREW", "/", "http", {}) as opened:
        assert opened is not None
        opened.answer("BREW", "/a", 405, "method_not_allowed")
    assert (traced.spans["HTTP /a"].attributes or {})["http.request.method"] == "_OTHER"


def test_what_a_client_sends_is_cut(traced: Traced) -> None:
    with traced.request("/" * 50_000):
        pass
    assert (traced.spans["GET"].attributes or {})["url.path"] == "/" * 1024


@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        (SourceUnavailable(reason="gone"), "source_unavailable"),
        (KeyError("x"), "KeyError"),
        (NotInstalled(), None),  # an answer
    ],
)
def test_a_span_whose_block_fails_says_why(
    traced: Traced, error: Exception, error_type: str | None
) -> None:
    with pytest.raises(type(error)), traced.request(), span("load"):
        raise error
    load = traced.spans["load"]
    assert (load.attributes or {}).get("error.type") == error_type
    assert (load.status.status_code is trace.StatusCode.ERROR) is (error_type is not None)


@pytest.mark.parametrize(
    ("statement", "summary"),
    [
        ("SELECT 1 FROM plugin LIMIT 1", "SELECT plugin"),
        ("SELECT user_id, 'x' FROM plugin WHERE user_id = ANY($1)", "SELECT plugin"),
        (
            "SELECT id FROM module WHERE plugin_id IN (SELECT id FROM plugin WHERE user_id = $1)",
            "SELECT module SELECT plugin",
        ),
    ],
)
def test_a_query_is_named_by_its_summary(traced: Traced, statement: str, summary: str) -> None:
    with traced.request(), query_span("sqlite", statement):
        pass
    query = traced.spans[summary]
    assert query.attributes == {"db.system.name": "sqlite", "db.query.summary": summary}
    assert query.kind is trace.SpanKind.CLIENT


# The trace that a request belongs to


def test_a_trusted_proxy_says_which_trace_it_is(traced: Traced) -> None:
    with traced.request(**SAMPLED, tracestate="a=b"):
        pass
    one = traced.spans["GET"]
    assert trace.format_trace_id(context_of(one).trace_id) == TRACE
    assert trace.format_span_id(parent_of(one) or 0) == PARENT
    assert context_of(one).trace_state.get("a") == "b"


def test_what_a_trusted_proxy_does_not_sample_is_not_recorded(traced: Traced) -> None:
    with traced.request(**NOT_SAMPLED):
        pass
    assert traced.spans == {}


@pytest.mark.parametrize("value", ["", "00-0-0-01", f"ff-{TRACE}-{PARENT}-01", "é"])
def test_a_traceparent_that_is_not_valid_is_ignored(traced: Traced, value: str) -> None:
    with traced.request(traceparent=value):
        pass
    assert parent_of(traced.spans["GET"]) is None


def test_an_application_that_mounts_the_gateway_has_the_request_in_its_own_trace(
    traced: Traced,
) -> None:
    around = traced.provider.get_tracer("host")
    with around.start_as_current_span("host"), traced.request(**SAMPLED):
        pass
    assert parent_of(traced.spans["GET"]) == id_of(traced.spans["host"])
    assert traced.spans["GET"].kind is trace.SpanKind.INTERNAL


def test_an_application_that_does_not_record_a_request_decides_for_the_gateway(
    traced: Traced,
) -> None:
    unsampled = trace.NonRecordingSpan(trace.SpanContext(1, 2, is_remote=False))
    token = attach(trace.set_span_in_context(unsampled))
    try:
        with traced.request(**SAMPLED):
            pass
    finally:
        detach(token)
    assert traced.spans == {}


# Loads that requests share


class Source:
    """A cache whose loads wait for the test, and make a span each."""

    def __init__(self, *, together: bool) -> None:
        self.gate = asyncio.Event()
        capacity: Capacity[str] = Capacity(100)
        self.cache: TTLCache[str, str] = TTLCache(
            None if together else self._load,
            load_many=self._load_many if together else None,
            times=Times(10.0),
            capacity=capacity,
            name="things",
        )

    async def _load(self, key: str) -> str:
        with span("read"):
            await self.gate.wait()
        return key

    async def _load_many(self, keys: Sequence[str]) -> dict[str, str]:
        with span("read"):
            await self.gate.wait()
        return {key: key for key in keys}

    def ask(self, traced: Traced, key: str) -> "asyncio.Task[str]":
        """A traced request."""

        async def request() -> str:
            with traced.request(f"/{key}"):
                return await self.cache.get(key)

        return asyncio.create_task(request())


TOGETHER = pytest.mark.parametrize("together", [True, False])


@TOGETHER
@in_loop
async def test_a_load_is_part_of_the_request_that_caused_it(together: bool) -> None:
    traced, source = Traced(), Source(together=together)
    source.gate.set()
    await source.ask(traced, "a")
    spans = traced.spans
    assert {*spans} == {"GET", "load things", "read"}
    assert parent_of(spans["load things"]) == id_of(spans["GET"])
    assert parent_of(spans["read"]) == id_of(spans["load things"])


@TOGETHER
@in_loop
async def test_a_request_that_joins_a_load_has_a_span_of_waiting_with_a_link_to_it(
    together: bool,
) -> None:
    traced, source = Traced(), Source(together=together)
    first = source.ask(traced, "a")
    await quiet()
    second = source.ask(traced, "a")
    await quiet()
    source.gate.set()
    await asyncio.gather(first, second)
    (load,), (waiting,) = traced.ended("load things"), traced.ended("wait for things")
    first_span, second_span = sorted(traced.ended("GET"), key=lambda one: one.start_time or 0)
    assert parent_of(load) == id_of(first_span)
    assert parent_of(waiting) == id_of(second_span)
    assert [link.context.span_id for link in waiting.links] == [id_of(load)]
    assert (waiting.start_time or 0) < (load.end_time or 0) <= (waiting.end_time or 0)


@in_loop
async def test_a_batch_belongs_to_the_first_request_and_the_others_have_links_to_it() -> None:
    traced, source = Traced(), Source(together=True)
    running = asyncio.create_task(source.cache.get("hot"))  # nobody traces it
    await quiet()
    requests = []
    for key in ("a", "b", "c"):
        requests.append(source.ask(traced, key))
        await quiet()
    source.gate.set()
    await asyncio.gather(running, *requests)
    (batch,) = traced.ended("load things")
    assert batch.attributes == {"gateway.keys": 3}
    by_path = {(one.attributes or {})["url.path"]: one for one in traced.ended("GET")}
    assert parent_of(batch) == id_of(by_path["/a"])
    waits = {parent_of(one): one for one in traced.ended("wait for things")}
    assert {*waits} == {id_of(by_path["/b"]), id_of(by_path["/c"])}
    for one in waits.values():
        assert [link.context.span_id for link in one.links] == [id_of(batch)]
    (read,) = traced.ended("read")
    assert parent_of(read) == id_of(batch)


@in_loop
async def test_a_load_that_nobody_traces_is_not_part_of_the_trace_before_it() -> None:
    traced, source = Traced(), Source(together=True)
    request = source.ask(traced, "a")
    await quiet()
    untraced = asyncio.create_task(source.cache.get("b"))  # it waits for the same task
    await quiet()
    source.gate.set()
    await asyncio.gather(request, untraced)
    assert len(traced.ended("load things")) == len(traced.ended("read")) == 1


@in_loop
async def test_a_request_that_waits_for_an_untraced_load_shows_the_time() -> None:
    traced, source = Traced(), Source(together=False)
    untraced = asyncio.create_task(source.cache.get("a"))
    await quiet()
    request = source.ask(traced, "a")
    await quiet()
    source.gate.set()
    await asyncio.gather(untraced, request)
    spans = traced.spans
    assert {*spans} == {"GET", "wait for things"}
    assert not spans["wait for things"].links
    assert parent_of(spans["wait for things"]) == id_of(spans["GET"])


@TOGETHER
@in_loop
async def test_a_load_that_fails_says_so(together: bool) -> None:
    traced = Traced()

    async def fail(_key: object) -> dict[str, str]:
        raise SourceUnavailable(reason="gone")

    make: Callable[..., TTLCache[str, dict[str, str]]] = TTLCache
    how = {"load_many": fail} if together else {"load": fail}
    cache = make(**how, times=Times(10.0), capacity=Capacity(10), name="things")
    with pytest.raises(SourceUnavailable), traced.request():
        await cache.get("a")
    assert (traced.spans["load things"].attributes or {})["error.type"] == "source_unavailable"
