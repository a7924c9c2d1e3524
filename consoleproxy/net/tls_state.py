"""TLS between two memory buffers: what a stream needs during its handshakes, and the relay after them.

OpenSSL never sees a socket. Ciphertext is fed in and taken out in pieces of one record at
most, because such a buffer keeps the size that it once had, for as long as the session lasts.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Final

from consoleproxy.errors import PeerClosed

#: The longest plaintext of one record (RFC 8446 section 5.1), and the most that is fed in at once.
RECORD: Final = 16 * 1024

#: The buffers of a connection that is gone.
_NOTHING: Final = ssl.MemoryBIO()

Readable = bytes | bytearray | memoryview


class TLSState:
    """One side of one TLS connection. ``session`` encrypts and decrypts, the two buffers hold ciphertext.

    ``feed`` what came from the peer, then ``read_into`` until it gives nothing; ``seal`` what goes to the
    peer. After reading, ``take_outgoing`` may hold an answer of TLS's own: an alert, a changed key.
    """

    __slots__ = ("_end", "incoming", "is_finished", "outgoing", "session")

    def __init__(self, context: ssl.SSLContext, *, server_name: str | None = None) -> None:
        """Begin as the server, or as a client where ``server_name`` says whom it wants to reach."""
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.session = context.wrap_bio(
            self.incoming, self.outgoing, server_side=server_name is None, server_hostname=server_name
        )
        #: How the peer's words have ended, if they have.
        self._end = ""
        #: Our close_notify is out: nothing can be sent any more.
        self.is_finished = False

    def feed(self, data: Readable) -> None:
        """Take in what came from the peer: ``RECORD`` bytes at most, and all read before the next."""
        self.incoming.write(data)

    @property
    def has_more(self) -> bool:
        """Whether reading again can give something, or tell of the end; asking costs a tenth of being told no."""
        return bool(self._end or self.incoming.pending or self.session.pending())

    def read_into(self, room: memoryview) -> int:
        """Decrypt into ``room`` as much as there is and fits; return the number of bytes, 0 for none yet.

        After the last of them, raises ``PeerClosed``: ``closed`` where the peer has said its close_notify,
        else OpenSSL's word for the fault; ``take_outgoing`` holds the alert then.
        """
        size = 0
        try:
            while not self._end and size < len(room):
                size += self._read(room[size:])
                if not self.has_more:
                    break
        except ssl.SSLWantReadError:
            return size
        except ssl.SSLError as error:
            # The words are kept, not the error: it would hold on to whoever called, and so to all of this.
            self._end = f"TLS: {tls_fault(error)}"
        if self._end and not size:
            raise PeerClosed(self._end)
        return size

    def release(self) -> None:
        """Let go of OpenSSL's memory: the connection is gone, while who knew it may live on for a while."""
        self._end = self._end or "gone"
        self.is_finished = True
        self.incoming = self.outgoing = _NOTHING
        with contextlib.suppress(AttributeError):
            del self.session

    def _read(self, room: memoryview) -> int:
        try:
            # Typeshed does not say that with a buffer the number of bytes comes back.
            got = int(self.session.read(len(room), room))
        except ssl.SSLZeroReturnError:
            got = 0
        if not got:
            self._end = "closed"
        return got

    def seal(self, data: Readable) -> bytes:
        """Encrypt ``data``, ``RECORD`` bytes at most and not none, and return all that has to go out.

        Raises ``ssl.SSLError``, also ``SSLWantReadError`` where the peer has stopped in the middle of a
        message of TLS's own; the connection is of no use then.
        """
        self.session.write(data)
        return self.outgoing.read()

    def take_outgoing(self) -> bytes:
        """Remove and return what TLS itself wants to say."""
        return self.outgoing.read() if self.outgoing.pending else b""

    def finish(self) -> bytes:
        """Say that nothing more is sent, and return the close_notify that has to go out, once."""
        if self.is_finished:
            return b""
        self.is_finished = True
        # It fails where the peer's has not come, which may come later or never, or the connection is broken.
        with contextlib.suppress(ssl.SSLError):
            self.session.unwrap()
        return self.outgoing.read()


def tls_fault(error: ssl.SSLError) -> str:
    """Return what failed, in OpenSSL's words, for the log."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {error.verify_message}"
    return (error.reason or str(error)).lower().replace("_", " ")
