"""A client and a server -> the same, with faults between them that a test chooses."""

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from enum import Enum
from random import Random


class Fault(Enum):
    """What befalls one request of HTTP, or one piece of another protocol from the client."""

    UNAVAILABLE = "answered 503"
    DENIED = "answered 403"
    RESET_BEFORE = "reset before it is forwarded"
    RESET_AFTER = "carried out, and reset before its answer"
    DELAY = "forwarded later"
    CONDITION_IGNORED = "answered 200 where the server refused a condition by 412"


# A request's first line and headers, or the bytes of a piece -> what befalls it.
Rule = Callable[[bytes], Fault | None]
DELAY_SECONDS = 0.3
ANSWERS = {Fault.UNAVAILABLE: b"503 Service Unavailable", Fault.DENIED: b"403 Forbidden"}
DONE = b'HTTP/1.1 200 OK\r\nETag: "replaced"\r\nContent-Length: 0\r\n\r\n'
ANSWER = b"HTTP/1.1 %b\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


def share(seed: int, **shares: float) -> Rule:
    """Befall this share of all, by the name of the fault; the same for the same seed."""
    random = Random(seed)
    faults = [*(Fault[name] for name in shares), None]
    weights = [*shares.values(), 1 - sum(shares.values())]
    return lambda _: random.choices(faults, weights)[0]


class FaultProxy:
    """Listens on `port` of 127.0.0.1; `rule` may be changed at any time, `counts` says what was."""

    def __init__(self, target: int, is_http: bool):
        self.rule: Rule = lambda _: None
        self.counts: Counter[Fault | None] = Counter()
        self.port = 0
        self._target = target
        self._serve = self._http if is_http else self._tcp

    async def listen(self, ready: "Future[Callable[[], object]]") -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        end, loop = asyncio.Event(), asyncio.get_running_loop()
        ready.set_result(lambda: loop.call_soon_threadsafe(end.set))
        await end.wait()
        server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = None
        try:
            answers, server = await asyncio.open_connection("127.0.0.1", self._target)
            await self._serve(reader, writer, answers, server)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError, _ResetError):
            # The client learns of it as it would without a proxy.
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        finally:
            for stream in filter(None, (writer, server)):
                stream.transport.abort()

    async def _befall(self, request: bytes) -> Fault | None:
        fault = self.rule(request)
        self.counts[fault] += 1
        if fault is Fault.RESET_BEFORE:
            raise _ResetError
        if fault is Fault.DELAY:
            await asyncio.sleep(DELAY_SECONDS)
        return fault

    async def _http(self, reader, writer, answers, server) -> None:
        while head := await _head(reader):
            fault = await self._befall(head)
            if fault in ANSWERS:
                if b"100-continue" not in head:
                    await _body(head, reader, None)
                writer.write(ANSWER % ANSWERS[fault])
                await writer.drain()
                writer.close()
                await writer.wait_closed()
                return
            server.write(head)
            # Beside the answer: a client that expects a 100 sends its body after that.
            sending = asyncio.ensure_future(_body(head, reader, server))
            try:
                answer = await _head(answers)
                while answer.startswith(b"HTTP/1.1 100"):
                    writer.write(answer)
                    answer = await _head(answers)
                to = None if fault is Fault.RESET_AFTER else writer
                if fault is Fault.CONDITION_IGNORED and answer.split()[1] == b"412":
                    await _body(answer, answers, None)
                    writer.write(DONE)
                    answer = DONE
                elif to:
                    to.write(answer)
                if not head.startswith(b"HEAD") and answer.split()[1] not in (b"204", b"304"):
                    await _body(answer, answers, to)
            finally:
                sending.cancel()
            if fault is Fault.RESET_AFTER:
                raise _ResetError
            await writer.drain()

    async def _tcp(self, reader, writer, answers, server) -> None:
        answering = asyncio.ensure_future(_pipe(answers, writer))
        try:
            while piece := await reader.read(2**20):
                fault = await self._befall(piece)
                if fault is Fault.RESET_AFTER:
                    answering.cancel()
                    server.write(piece)
                    await answers.read(2**20)
                    raise _ResetError
                server.write(piece)
        finally:
            answering.cancel()


class _ResetError(Exception):
    """The connection ends here, without a farewell."""


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise
        return b""


async def _body(head: bytes, reader: asyncio.StreamReader, to: asyncio.StreamWriter | None) -> None:
    """Read what belongs to this head, and write it on."""
    headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
    left = int(headers.get(b"content-length", 0))
    is_chunked = b"chunked" in headers.get(b"transfer-encoding", b"")
    while left or is_chunked:
        if is_chunked:
            line = await reader.readuntil(b"\r\n")
            size = int(line.split(b";")[0], 16)
            piece = line + await reader.readexactly(size + 2)
            is_chunked = size > 0
        else:
            piece = await reader.read(min(left, 2**20))
            left -= len(piece)
            if not piece:
                raise _ResetError
        if to:
            to.write(piece)
            await to.drain()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while piece := await reader.read(2**20):
        writer.write(piece)
    writer.close()


@contextmanager
def fault_proxy(target: int, is_http: bool = True) -> Iterator[FaultProxy]:
    """Relay a port of this machine."""
    proxy = FaultProxy(target, is_http)
    ready: Future[Callable[[], object]] = Future()
    thread = threading.Thread(target=lambda: asyncio.run(proxy.listen(ready)), daemon=True)
    thread.start()
    end = ready.result(10)
    try:
        yield proxy
    finally:
        end()
        thread.join(10)
