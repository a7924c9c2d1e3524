"""A ``ByteStream`` through TLS, as the server towards a browser or as the client towards a VM."""

from __future__ import annotations

import ssl
from typing import Final, NoReturn, TypeAlias

from consoleproxy.errors import PeerClosed, TLSFailed, VMTLSError
from consoleproxy.net.stream import Channel, SocketStream
from consoleproxy.net.tls_state import RECORD, TLSState, tls_fault
from consoleproxy.wire.reader import Reader

#: Bytes that a peer may send for one handshake; certificates of clients are not asked for.
HANDSHAKE_LIMIT: Final = 64 * 1024

#: Where all streams decrypt: it is done in one go, and what came out is copied.
_ROOM: Final = memoryview(bytearray(RECORD))


class TLSStream:
    """TLS over ``stream``, which belongs to it from then on. Made by ``accept`` or ``connect``."""

    def __init__(self, stream: SocketStream, state: TLSState) -> None:
        self._stream = stream
        self._state = state
        self._reader = Reader()

    @classmethod
    async def accept(cls, stream: SocketStream, context: ssl.SSLContext) -> TLSStream:
        """Shake hands as the server; what ``stream`` has read already counts as the peer's first bytes.

        Raises ``TLSFailed``, or ``PeerClosed`` when the peer goes away. Has no deadline of its own. The
        caller keeps ``stream`` where it fails.
        """
        made = cls(stream, TLSState(context))
        await made._shake_hands()
        return made

    @classmethod
    async def connect(cls, stream: SocketStream, context: ssl.SSLContext, server_name: str) -> TLSStream:
        """Shake hands as the client of ``server_name``, which the context verifies or not.

        Raises ``VMTLSError`` where TLS fails or the peer has spoken before it, in clear: those bytes must
        not be taken as if they had come through TLS. Else as ``accept``.
        """
        if stream.unread:
            raise VMTLSError(f"{stream.unread} bytes came in clear before TLS")
        made = cls(stream, TLSState(context, server_name=server_name))
        try:
            await made._shake_hands()
        except TLSFailed as error:
            raise VMTLSError(str(error)) from error
        return made

    @property
    def version(self) -> str:
        """The protocol that was agreed on, such as ``TLSv1.3``."""
        return self._state.session.version() or ""

    async def read(self, size: int) -> bytes:
        """Return exactly ``size`` bytes; raise ``PeerClosed`` when they cannot come."""
        while (data := self._reader.take(size)) is None:
            self._reader.feed(await self._receive())
        return data

    async def receive(self) -> bytes:
        """Return what comes next, at least one byte; raise ``PeerClosed`` at the end."""
        if len(self._reader):
            return self._reader.take_all()
        return await self._receive()

    async def write(self, data: bytes) -> None:
        """Send all of ``data``; raise ``PeerClosed`` when the peer is gone."""
        view = memoryview(data)
        for start in range(0, len(view), RECORD):
            try:
                records = self._state.seal(view[start : start + RECORD])
            except ssl.SSLError as error:
                raise PeerClosed(f"TLS: {tls_fault(error)}") from error
            await self._stream.write(records)

    def put_back(self, data: bytes) -> None:
        """Have ``data`` read again, before what comes next."""
        self._reader.feed(data + self._reader.take_all())

    def half_close(self) -> None:
        """Say that nothing more will be sent; what the peer sends can still be received."""
        self._stream.send_now(self._state.finish())
        self._stream.half_close()

    async def start_tls(self, server_name: str) -> None:
        """Refuse: one TLS inside another is nothing that anybody speaks."""
        raise VMTLSError(f"TLS inside TLS towards {server_name}")

    def detach(self) -> Channel:
        """Give the connection away; the stream must not be used after it."""
        channel = self._stream.detach()
        return Channel(channel.sock, self._reader.take_all(), self._state)

    def close(self) -> None:
        """Close at once, with a close_notify where it can go; again, or after ``detach``, it does nothing."""
        if self._stream.is_open:
            self._stream.send_now(self._state.finish())
            self._stream.close()

    async def _shake_hands(self) -> None:
        total = 0
        while True:
            try:
                self._state.session.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
            except ssl.SSLError as error:
                await self._fail(error)
            else:
                await self._flush()
                return
            data = await self._stream.receive()
            total += len(data)
            if total > HANDSHAKE_LIMIT:
                raise TLSFailed("handshake too long", kind="protocol")
            self._state.feed(data)

    async def _fail(self, error: ssl.SSLError) -> NoReturn:
        reason = error.reason or ""
        kind = "alert" if "_ALERT_" in reason else _KINDS.get(reason, "other")
        if kind != "plain-http":
            # Who speaks plain HTTP would not understand an alert.
            await self._flush()
        raise TLSFailed(tls_fault(error), kind=kind) from error

    async def _receive(self) -> bytes:
        while True:
            # What came in one piece is given in one piece: nothing complete stays behind for the relay.
            data = b"".join(self._decrypted())
            await self._flush()
            if data:
                return data
            try:
                self._state.feed(await self._stream.receive())
            except PeerClosed as error:
                raise PeerClosed("truncated" if str(error) == "end of file" else str(error)) from error

    def _decrypted(self) -> list[bytes]:
        pieces: list[bytes] = []
        try:
            while size := self._state.read_into(_ROOM):
                pieces.append(bytes(_ROOM[:size]))
        except PeerClosed:
            if not pieces:
                self._stream.send_now(self._state.take_outgoing())
                raise
        return pieces

    async def _flush(self) -> None:
        if data := self._state.take_outgoing():
            await self._stream.write(data)


#: OpenSSL's reasons, as the few words of a metric.
_KINDS: Final = {
    "CERTIFICATE_VERIFY_FAILED": "certificate",
    "HTTP_REQUEST": "plain-http",
    "HTTPS_PROXY_REQUEST": "plain-http",
    "UNSUPPORTED_PROTOCOL": "version",
    "VERSION_TOO_LOW": "version",
    "INAPPROPRIATE_FALLBACK": "version",
    "NO_SHARED_CIPHER": "cipher",
    "NO_SUITABLE_KEY_SHARE": "cipher",
    "NO_SHARED_GROUPS": "cipher",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "cipher",
    "WRONG_VERSION_NUMBER": "protocol",
    "UNEXPECTED_MESSAGE": "protocol",
    "LENGTH_MISMATCH": "protocol",
    "BAD_RECORD_TYPE": "protocol",
    "UNKNOWN_PROTOCOL": "protocol",
}

#: What a browser is reached by, until its relay starts.
BrowserStream: TypeAlias = SocketStream | TLSStream
