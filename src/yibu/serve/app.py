"""The gateway's addresses: the OpenAI protocol, and beside it classification and extraction by the model's own task."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from yibu import __version__
from yibu.core.errors import DataError
from yibu.engines import EMBED, SCORE, Engine, EngineFailed, Piece, Prompt, Sampling
from yibu.serve import marks, metrics
from yibu.serve.asked import Asked as Task
from yibu.serve.guard import Guard, Told
from yibu.serve.keys import Keys
from yibu.serve.limits import Admission, whole_seconds
from yibu.serve.page import POLICY, page_text
from yibu.serve.problems import Problem
from yibu.serve.protocol import Asked, ChatRequest, CompletionRequest, EmbeddingRequest, Written, as_base64, read
from yibu.serve.routes import Routes, Version
from yibu.serve.schema import describe
from yibu.serve.settings import ServeSettings
from yibu.tasks import Message

Found = TypeVar("Found")

_CHARS_A_TOKEN = 3.0
"""For the reservation of tokens before any are counted; what was reserved too much is given back."""


class Gateway:
    """What all addresses share.

    Args:
        engine: what answers.
        routes: which artifact answers to which name.
        keys: None lets everyone ask.

    Attributes:
        ready: whether requests are answered now; whoever watches the engine sets it.
        app: what a server of ASGI runs.
    """

    def __init__(self, settings: ServeSettings, engine: Engine, routes: Routes, keys: Keys | None) -> None:
        self.settings, self.engine, self.routes = settings, engine, routes
        self.metrics = metrics.Metrics()
        self.admission = Admission(settings.running, settings.waiting)
        self.ready = False
        self.started = int(time.time())
        self.api = _addresses(self)
        self.app = Guard(self.api, settings, keys, self.metrics)

    # --- one request --------------------------------------------------------------------------------------------------

    async def chat(self, request: Request) -> Response:
        """``/v1/chat/completions``"""
        body = read(ChatRequest, await request.body())
        turns = [message.plain() for message in body.messages]
        self._bound(sum(len(turn["content"]) for turn in turns))

        def prompt(version: Version) -> Prompt:
            return turns if version.asked is None else _plain(version.asked.conversation(turns))

        return await self._write(request, body, prompt, _Chat())

    async def complete(self, request: Request) -> Response:
        """``/v1/completions``"""
        body = read(CompletionRequest, await request.body())
        self._bound(len(body.prompt))
        return await self._write(request, body, lambda version: body.prompt, _Text())

    async def embed(self, request: Request) -> Response:
        """``/v1/embeddings``"""
        body, told = read(EmbeddingRequest, await request.body()), _told(request)
        num_chars = sum(map(len, body.texts))
        self._bound(num_chars)
        if EMBED not in self.engine.can:
            raise Problem(501, "this engine makes no vectors; the engine transformers does", "unable")
        with self.routes.lease(body.model) as version:
            told.model, told.artifact = body.model, version.id
            async with self._allowed(told, num_chars / _CHARS_A_TOKEN):
                found = await _or_gone(request, self._bounded(self.engine.embed(body.texts, version.engine_name)))
                told.prompt_tokens = found.prompt_tokens
            self._count_tokens(told)
            written = as_base64 if body.encoding_format == "base64" else list
            data = [
                {"object": "embedding", "index": place, "embedding": written(vector)}
                for place, vector in enumerate(found.vectors)
            ]
            usage = {"prompt_tokens": told.prompt_tokens, "total_tokens": told.prompt_tokens}
            return self._json(version, {"data": data, "usage": usage}, told, body.model, "list")

    async def classify(self, request: Request) -> Response:
        """``/v1/classify``: the closed set of the model's task, with probabilities."""
        body, told = read(Asked, await request.body()), _told(request)
        self._bound(_num_chars(body))
        if SCORE not in self.engine.can:
            raise Problem(501, "this engine cannot score labels; the engine transformers does", "unable")
        with self.routes.lease(body.model) as version:
            told.model, told.artifact = body.model, version.id
            with _asked_right():
                task = _task(version)
                messages = _plain(task.about(body.input))
                _, words = task.labels()
            async with self._allowed(told, _num_chars(body) / _CHARS_A_TOKEN):
                scores = await _or_gone(request, self._bounded(self.engine.score(messages, words, version.engine_name)))
            found = task.probabilities(scores)
            table = {
                "label": max(found, key=lambda name: found[name]),
                "probabilities": found,
                "corrected": None if task.corrected is None else task.corrected.as_dict(),
            }
            return self._json(version, table, told, body.model, "classification")

    async def extract(self, request: Request) -> Response:
        """``/v1/extract``: what the model writes, taken apart into the fields of its task."""
        body, told = read(Asked, await request.body()), _told(request)
        self._bound(_num_chars(body))
        with self.routes.lease(body.model) as version:
            told.model, told.artifact = body.model, version.id
            with _asked_right():
                task = _task(version)
                messages = _plain(task.about(body.input))
                if task.task.closed_set:
                    raise Problem(
                        400, "this model chooses a label; ask it by /v1/classify", "wrong_task", param="model"
                    )
            longest = min(task.task.max_new_tokens, self.settings.max_new_tokens)
            async with self._allowed(told, _num_chars(body) / _CHARS_A_TOKEN + longest):
                wanted = self._whole(messages, longest, Sampling(), version, told)
                text, finish = await _or_gone(request, self._bounded(wanted))
            fields = task.task.parse(text.rpartition("</think>")[2])
            table = {"fields": fields, "finish_reason": finish, "usage": _usage(told), **self._generated(told)}
            return self._json(version, table, told, body.model, "extraction")

    async def models(self, request: Request) -> Response:
        """``/v1/models``"""
        data = [
            {"id": name, "object": "model", "created": self.started, "owned_by": "yibu", "artifact": version.id}
            for name in self.routes.names
            if (version := self.routes.version(name)) is not None
        ]
        return Response(to_json({"object": "list", "data": data}), media_type="application/json")

    async def _write(
        self, request: Request, body: Written, prompt: Callable[[Version], Prompt], form: _Form
    ) -> Response:
        """The answer to a conversation or a text, whole or as a stream."""
        told, settings = _told(request), self.settings
        stack = contextlib.AsyncExitStack()
        async with stack:
            version = stack.enter_context(self.routes.lease(body.model))
            told.model, told.artifact = body.model, version.id
            longest = self._longest(body, version)
            with _asked_right():
                asked = prompt(version)
            num_chars = len(asked) if isinstance(asked, str) else sum(len(turn["content"]) for turn in asked)
            await stack.enter_async_context(self._allowed(told, num_chars / _CHARS_A_TOKEN + longest))
            reply = _Reply(form, told.id, version.id, body.model, int(time.time()), self._generated(told))
            if body.stream:
                pieces = self.engine.generate(asked, longest, body.sampling, version.engine_name)
                first = await _or_gone(request, self._bounded(anext(pieces)))  # what fails here has a status yet
                return _Stream(self, reply, first, pieces, told, body.with_usage, stack.pop_all())
            wanted = self._whole(asked, longest, body.sampling, version, told)
            text, finish = await _or_gone(request, self._bounded(wanted))
            whole = reply.whole(text + marks.for_readers(settings.mark), finish, _usage(told))
            return Response(to_json(whole), media_type="application/json", headers={"x-yibu-artifact": version.id})

    async def _whole(
        self, prompt: Prompt, longest: int, sampling: Sampling, version: Version, told: Told
    ) -> tuple[str, str]:
        text, finish = [], "length"
        async for piece in self.engine.generate(prompt, longest, sampling, version.engine_name):
            text.append(piece.text)
            finish = piece.finish or finish
            _count(told, piece)
        self._count_tokens(told)
        return "".join(text), finish

    # --- bounds -------------------------------------------------------------------------------------------------------

    def _bound(self, num_chars: int) -> None:
        """
        Raises:
            Problem: too long, counted before anything is tokenised; or nobody there to answer.
        """
        most = self.settings.max_prompt_chars
        if num_chars > most:
            raise Problem(400, f"the prompt has {num_chars} characters; up to {most} are read", "prompt_too_long")
        if not self.ready:
            raise Problem(503, "the engine is being started", "engine_down", retry_after=2)

    def _longest(self, body: Written, version: Version) -> int:
        most, wanted = self.settings.max_new_tokens, body.num_tokens
        if wanted is None:
            of_task = version.asked.task.max_new_tokens if version.asked is not None else 0
            return min(most, of_task or self.settings.default_new_tokens)
        if wanted > most:
            raise Problem(400, f"answers have up to {most} tokens here", "answer_too_long", param="max_tokens")
        return wanted

    @contextlib.asynccontextmanager
    async def _allowed(self, told: Told, num_tokens: float) -> AsyncIterator[None]:
        """The tokens of an allowance and a place at the engine; what was not used is given back."""
        self.app.allowances.take_tokens(told.client, num_tokens)
        try:
            async with asyncio.timeout(self.settings.deadline_seconds):
                await self.admission.enter()
        except TimeoutError:
            self.app.allowances.give_back_tokens(told.client, num_tokens)
            raise Problem(503, "no turn came before the deadline", "deadline", retry_after=5) from None
        except BaseException:
            self.app.allowances.give_back_tokens(told.client, num_tokens)
            raise
        begun = time.monotonic()
        try:
            yield
        finally:
            self.admission.leave(time.monotonic() - begun)
            used = told.prompt_tokens + told.completion_tokens
            if used:
                self.app.allowances.give_back_tokens(told.client, num_tokens - used)

    async def _bounded(self, work: Awaitable[Found]) -> Found:
        """The result of an engine, before the deadline.

        Raises:
            Problem: it came too late, or not at all.
        """
        try:
            async with asyncio.timeout(self.settings.deadline_seconds):
                return await work
        except TimeoutError:
            raise Problem(504, "no answer came before the deadline", "deadline") from None
        except EngineFailed as error:
            raise problem_of(error) from None
        except StopAsyncIteration:
            raise Problem(502, "the engine said nothing", "engine_empty") from None

    # --- what is told -------------------------------------------------------------------------------------------------

    def _generated(self, told: Told) -> dict[str, Any]:
        mark = self.settings.mark
        return {} if mark is None else {"AIGC": marks.for_machines(mark, told.id)}

    def _json(self, version: Version, table: dict[str, Any], told: Told, model: str, kind: str) -> Response:
        whole = {"id": told.id, "object": kind, "model": model, "artifact": version.id, **table}
        return Response(to_json(whole), media_type="application/json", headers={"x-yibu-artifact": version.id})

    def _count_tokens(self, told: Told) -> None:
        self.metrics.count("yibu_tokens_total", told.prompt_tokens, 'kind="prompt"')
        self.metrics.count("yibu_tokens_total", told.completion_tokens, 'kind="completion"')

    def gauges(self) -> dict[tuple[str, str], float]:
        """What is true now."""
        found = {
            ("yibu_running", ""): self.admission.running,
            ("yibu_waiting", ""): self.admission.waiting,
            ("yibu_ready", ""): float(self.ready),
        }
        for name in self.routes.names:
            version = self.routes.version(name)
            if version is not None:
                found["yibu_artifact_info", f'model="{name}",artifact="{version.id}"'] = 1
        return found


def problem_of(error: EngineFailed) -> Problem:
    """What a client is told when an engine fails."""
    if error.reason in ("status_413",):
        return Problem(400, "the prompt is longer than the model reads", "context_length_exceeded", param="messages")
    if error.reason in ("status_400", "status_422"):
        return Problem(400, "the engine refused the request", "engine_refused")
    if error.reason == "unable":
        return Problem(501, "this engine cannot do it", "unable")
    return Problem(503, "the engine gave no whole answer", "engine_failed", retry_after=2)


# --- forms of an answer -----------------------------------------------------------------------------------------------


class _Form(abc.ABC):
    """How the two kinds of completion differ."""

    prefix, whole, part = "", "", ""

    @abc.abstractmethod
    def said(self, text: str) -> dict[str, Any]: ...

    @abc.abstractmethod
    def delta(self, text: str, first: bool) -> dict[str, Any]: ...


class _Chat(_Form):
    prefix, whole, part = "chatcmpl", "chat.completion", "chat.completion.chunk"

    def said(self, text: str) -> dict[str, Any]:
        return {"message": {"role": "assistant", "content": text, "refusal": None}}

    def delta(self, text: str, first: bool) -> dict[str, Any]:
        said = {"content": text} if text else {}
        return {"delta": {"role": "assistant", **said} if first else said}


class _Text(_Form):
    prefix, whole, part = "cmpl", "text_completion", "text_completion"

    def said(self, text: str) -> dict[str, Any]:
        return {"text": text}

    def delta(self, text: str, first: bool) -> dict[str, Any]:
        return {"text": text}


@dataclass(frozen=True, slots=True)
class _Reply:
    """What all parts of an answer say."""

    form: _Form
    id: str
    artifact: str
    model: str
    created: int
    more: dict[str, Any]

    def whole(self, text: str, finish: str, usage: dict[str, int]) -> dict[str, Any]:
        choice = {"index": 0, **self.form.said(text), "logprobs": None, "finish_reason": finish}
        return {**self._head(self.form.whole), "choices": [choice], "usage": usage, **self.more}

    def part(self, text: str, finish: str | None, first: bool = False) -> dict[str, Any]:
        choice = {"index": 0, **self.form.delta(text, first), "logprobs": None, "finish_reason": finish}
        return {**self._head(self.form.part), "choices": [choice], **(self.more if finish else {})}

    def counts(self, usage: dict[str, int]) -> dict[str, Any]:
        return {**self._head(self.form.part), "choices": [], "usage": usage}

    def _head(self, kind: str) -> dict[str, Any]:
        return {
            "id": f"{self.form.prefix}-{self.id}",
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": self.artifact,
        }


class _Stream(Response):
    """Pieces as server-sent events, as they come; ends the work where the client hangs up."""

    def __init__(
        self,
        gateway: Gateway,
        reply: _Reply,
        first: Piece,
        pieces: AsyncIterator[Piece],
        told: Told,
        with_usage: bool,
        held: contextlib.AsyncExitStack,
    ) -> None:
        super().__init__(media_type="text/event-stream")
        del self.headers["content-length"]
        self.headers["cache-control"] = "no-cache"
        self.headers["x-yibu-artifact"] = reply.artifact
        self._gateway, self._reply, self._first, self._pieces = gateway, reply, first, pieces
        self._told, self._with_usage, self._held = told, with_usage, held

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it all."""

        async def event(table: dict[str, Any]) -> None:
            await send({"type": "http.response.body", "body": b"data: %b\n\n" % to_json(table), "more_body": True})

        async with self._held:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            try:
                async with asyncio.timeout(self._gateway.settings.deadline_seconds):
                    await _or_disconnected(receive, self._all(event))
            except _Gone:
                self._told.problem = "client_gone"
                return
            except TimeoutError:
                await event(Problem(504, "the answer did not end before the deadline", "deadline").as_dict())
            except EngineFailed as error:
                self._told.problem = error.reason
                await event(problem_of(error).as_dict())
            finally:
                with contextlib.suppress(Exception):
                    await self._pieces.aclose()  # type: ignore[attr-defined]
                self._gateway._count_tokens(self._told)
            await send({"type": "http.response.body", "body": b"data: [DONE]\n\n", "more_body": False})

    async def _all(self, event: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        reply, finish = self._reply, "length"
        _count(self._told, self._first)
        finish = self._first.finish or finish
        await event(reply.part(self._first.text, None, first=True))
        async for piece in self._pieces:
            _count(self._told, piece)
            finish = piece.finish or finish
            if piece.text:
                await event(reply.part(piece.text, None))
        mark = marks.for_readers(self._gateway.settings.mark)
        if mark:
            await event(reply.part(mark, None))
        await event(reply.part("", finish))
        if self._with_usage:
            await event(reply.counts(_usage(self._told)))


# --- small things -----------------------------------------------------------------------------------------------------


class _Gone(Exception):
    """The client hung up."""


async def _or_disconnected(receive: Any, work: Awaitable[Found]) -> Found:
    """The result of some work, which ends when the client hangs up."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnect(receive))
    try:
        await asyncio.wait((task, gone), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise _Gone
    finally:
        gone.cancel()
        if not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task


async def _disconnect(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _or_gone(request: Request, work: Awaitable[Found]) -> Found:
    """As above, for an answer that is sent as a whole.

    Raises:
        Problem: the client hung up; nobody reads it, and the log says it.
    """
    try:
        return await _or_disconnected(request.receive, work)
    except _Gone:
        raise Problem(499, "the client hung up", "client_gone") from None


def _told(request: Request) -> Told:
    told: Told = request.scope["state"]["told"]
    return told


def _count(told: Told, piece: Piece) -> None:
    told.prompt_tokens = piece.prompt_tokens or told.prompt_tokens
    told.completion_tokens = piece.total_tokens or told.completion_tokens + piece.num_tokens


def _usage(told: Told) -> dict[str, int]:
    return {
        "prompt_tokens": told.prompt_tokens,
        "completion_tokens": told.completion_tokens,
        "total_tokens": told.prompt_tokens + told.completion_tokens,
    }


def _plain(messages: Sequence[Message]) -> list[dict[str, str]]:
    return [{"role": message["role"], "content": message["content"]} for message in messages]


def _num_chars(body: Asked) -> int:
    return len(body.input) if isinstance(body.input, str) else sum(map(len, body.input.values()))


def _task(version: Version) -> Task:
    if version.asked is None:
        raise Problem(400, "this model has no task of its own", "wrong_task", param="model")
    return version.asked


@contextlib.contextmanager
def _asked_right() -> Iterator[None]:
    """Errors of a task become the client's."""
    try:
        yield
    except DataError as error:
        told = error.what if error.allowed is None else f"{error.what} Allowed: {error.allowed}"
        raise Problem(400, told, "invalid_input", param="input") from None


def _addresses(gateway: Gateway) -> FastAPI:
    """The application: addresses and their description."""
    api = FastAPI(title="yibu", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)

    @api.exception_handler(Problem)
    async def refused(request: Request, problem: Problem) -> Response:
        gateway.app.count_problem(problem, _told(request))
        headers = {} if problem.retry_after is None else {"retry-after": str(whole_seconds(problem.retry_after))}
        body = to_json(problem.as_dict())
        return Response(body, problem.status, headers=headers, media_type="application/json")

    @api.exception_handler(HTTPException)
    async def unknown(request: Request, error: HTTPException) -> Response:
        word = {404: "there is nothing at this address", 405: "this address has no such method"}
        problem = Problem(error.status_code, word.get(error.status_code, "refused"), "no_such_address")
        answer = await refused(request, problem)
        answer.headers.update(error.headers or {})
        return answer

    async def health() -> Response:
        return Response(b'{"status":"alive"}', media_type="application/json")

    async def ready() -> Response:
        if not gateway.ready:
            raise Problem(503, "the engine is not ready", "engine_down", retry_after=2)
        return Response(b'{"status":"ready"}', media_type="application/json")

    async def numbers() -> Response:
        return Response(gateway.metrics.text(gateway.gauges()), media_type=metrics.CONTENT_TYPE)

    async def page() -> Response:
        return HTMLResponse(page_text(), headers={"content-security-policy": POLICY})

    async def schema() -> Response:
        return Response(to_json(api.openapi()), media_type="application/json")

    describe(api, gateway, {"health": health, "ready": ready, "metrics": numbers, "page": page, "schema": schema})
    return api
