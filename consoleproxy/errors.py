"""Every way a console can be refused or end, in one list.

A class for each reason, because somebody reacts differently to each: the page
chooses its sentence, a client decides whether to try again, an operator counts.
Each bears four facts:

``reason``      the word in the close reason, the log line and the metric label
``close_code``  the websocket close code (RFC 6455 section 7.4.2: 4000-4999 are ours)
``http_status`` the answer where no websocket was asked for
``sentence``    what a person is told; nothing of the inner text goes there

The inner text (``str(error)``) is for the log alone.
"""

from __future__ import annotations

from typing import ClassVar


class ConfigError(Exception):
    """A setting, file or argument is wrong; the text names it, its value and the mend."""


class LinkRefused(Exception):
    """The manager does not take this proxy, or takes it no more; the text says why, for both logs."""


class ConsoleError(Exception):
    """A console was refused or ended. Raise a subclass; the text is for the log only."""

    reason: ClassVar[str] = "internal"
    close_code: ClassVar[int] = 4500
    http_status: ClassVar[int] = 500
    sentence: ClassVar[str] = "Something went wrong inside the console proxy."


class InternalError(ConsoleError):
    """Our own fault: the log holds the traceback under the reference number."""


# --- refused before the VM is dialled -------------------------------------------------


class Refused(ConsoleError):
    """The request was refused; the VM was not contacted."""


class BadTokenError(Refused):
    """The token is missing, does not decrypt, or its fields make no sense."""

    reason = "bad-token"
    close_code = 4400
    http_status = 400
    sentence = "This console link is damaged or incomplete. Open the console again."


class ExtraTokenError(Refused):
    """The extra token is missing or differs from the one the link was made with."""

    reason = "extra-token"
    close_code = 4401
    http_status = 401
    sentence = "The extra security token of this console link is missing or wrong."


class ExpiredError(Refused):
    """The ticket's minutes are over."""

    reason = "expired"
    close_code = 4402
    http_status = 403
    sentence = "This console link has expired. Open the console again."


class SourceAddressError(Refused):
    """The viewer's address is not the one the link was made for."""

    reason = "source-address"
    close_code = 4403
    http_status = 403
    sentence = "This console link was made for another network address."


class UnknownError(Refused):
    """The control plane does not know this session or its VM."""

    reason = "unknown"
    close_code = 4404
    http_status = 404
    sentence = "This console or its virtual machine is not known. Open the console again."


class OriginError(Refused):
    """The page that opened the websocket is not one of ours."""

    reason = "origin"
    close_code = 4405
    http_status = 403
    sentence = "This page is not allowed to open consoles here."


class InUseError(Refused):
    """The VM already has a viewer, and this link may not replace it."""

    reason = "in-use"
    close_code = 4409
    http_status = 409
    sentence = "Somebody else is using this console."


class UsedError(Refused):
    """The one-time session was used before."""

    reason = "used"
    close_code = 4410
    http_status = 410
    sentence = "This console link has already been used. Each link opens one console once: open the console again."


class WrongProxyError(Refused):
    """The session was meant for another proxy."""

    reason = "wrong-proxy"
    close_code = 4421
    http_status = 421
    sentence = "This console link belongs to another proxy. Open the console again."


class TooManyError(Refused):
    """A limit per address, user or VM is reached."""

    reason = "too-many"
    close_code = 4429
    http_status = 429
    sentence = "Too many consoles or attempts at once. Wait a moment and open the console again."


class FullError(Refused):
    """This proxy carries as many sessions as it may."""

    reason = "full"
    close_code = 4430
    http_status = 503
    sentence = "This console proxy is full. Try again later."


# --- the way to the VM ----------------------------------------------------------------


class VMError(ConsoleError):
    """The VM's VNC server could not be used."""

    http_status = 502


class VMUnreachableError(VMError):
    """No TCP connection: no such host, no route, no answer."""

    reason = "vm-unreachable"
    close_code = 4450
    sentence = "The virtual machine's screen could not be reached."


class VMRefusedError(VMError):
    """The host refuses the connection, or the VNC server refuses us in words."""

    reason = "vm-refused"
    close_code = 4451
    sentence = "The virtual machine's host refused the connection to its screen. It may be switched off."


class VMTimeoutError(VMError):
    """A step on the way to the VM passed its deadline."""

    reason = "vm-timeout"
    close_code = 4452
    http_status = 504
    sentence = "The virtual machine's screen did not answer in time."


class VMTLSError(VMError):
    """TLS towards the VM failed, or its certificate does not verify."""

    reason = "vm-tls"
    close_code = 4453
    sentence = "The encrypted connection to the virtual machine could not be verified."


class VMPasswordError(VMError):
    """The VNC server does not take the password."""

    reason = "vm-password"
    close_code = 4454
    sentence = "The virtual machine did not accept the proxy's VNC password."


class VMProtocolError(VMError):
    """The VNC server breaks the protocol, or offers nothing that we speak."""

    reason = "vm-protocol"
    close_code = 4455
    sentence = "The virtual machine's screen speaks a protocol that the proxy does not understand."


# --- an open console ended ------------------------------------------------------------


class SessionEnded(ConsoleError):
    """A running console was ended for a reason that is nobody's error."""

    http_status = 410


class VMClosed(SessionEnded):
    """The VM's side ended."""

    reason = "vm-closed"
    close_code = 4456
    sentence = "The virtual machine closed its screen. It may have been switched off or restarted."


class TakenOver(SessionEnded):
    """A newcomer took the console."""

    reason = "taken-over"
    close_code = 4460
    sentence = "This console was taken over by another window."


class Killed(SessionEnded):
    """An administrator ended the session."""

    reason = "killed"
    close_code = 4461
    sentence = "An administrator ended this console."


class Idle(SessionEnded):
    """No key and no pointer for too long."""

    reason = "idle"
    close_code = 4462
    sentence = "This console was closed because it was idle for too long."


class MaxDuration(SessionEnded):
    """The session reached its longest life."""

    reason = "max-duration"
    close_code = 4463
    sentence = "This console reached its time limit."


class Locked(SessionEnded):
    """The user or VM was locked."""

    reason = "locked"
    close_code = 4464
    sentence = "This console was locked by an administrator."


class Draining(SessionEnded):
    """The proxy is going away."""

    reason = "draining"
    close_code = 4470
    http_status = 503
    sentence = "This console proxy is shutting down. Open the console again."


class ManagerAwayError(Refused):
    """The control plane does not answer, so nobody can say who may enter."""

    reason = "manager-away"
    close_code = 4471
    http_status = 503
    sentence = "The manager of the consoles does not answer. Try again in a moment."


class WorkerLost(SessionEnded):
    """The process that carried the console has died; its browser saw only a broken connection."""

    reason = "worker-lost"
    http_status = 500
    sentence = "The part of the console proxy that carried this console has failed. Open the console again."


# --- the browser's side ---------------------------------------------------------------


class BrowserClosed(SessionEnded):
    """The browser closed its websocket."""

    reason = "browser-closed"
    close_code = 1000
    http_status = 499
    sentence = "The console was closed."


class BrowserLost(SessionEnded):
    """The browser's connection broke without a closing handshake."""

    reason = "browser-lost"
    close_code = 1006
    http_status = 499
    sentence = "The connection to the browser was lost."


class BrowserTimeout(SessionEnded):
    """The browser did not finish its side of the handshake in time."""

    reason = "browser-timeout"
    close_code = 1002
    http_status = 408
    sentence = "The browser did not answer in time."


# --- what parsers raise ---------------------------------------------------------------


class RemoteProtocolError(Exception):
    """The peer broke a protocol. ``close_code`` is what a websocket peer is told.

    The parsers of ``wire`` raise this and nothing else; who ran the parser knows
    which peer it was, and turns it into ``VMProtocolError`` or ``BrowserProtocolError``.
    """

    def __init__(self, text: str, *, close_code: int = 1002) -> None:
        super().__init__(text)
        self.close_code = close_code


class BrowserProtocolError(SessionEnded):
    """The browser broke the websocket or RFB protocol; closed with RFC 6455's own code."""

    reason = "browser-protocol"
    close_code = 1002
    http_status = 400
    sentence = "The browser sent something that the console proxy does not understand."

    def __init__(self, text: str, *, close_code: int = 1002) -> None:
        super().__init__(text)
        self.close_code = close_code  # type: ignore[misc]  # the one class whose code depends on the fault


# --- what streams raise ---------------------------------------------------------------


class PeerClosed(Exception):
    """The peer closed or reset its connection while we needed more of it."""


class TLSFailed(PeerClosed):
    """TLS with the peer did not come about. ``kind`` is a word of a short list, for counting."""

    def __init__(self, text: str, *, kind: str) -> None:
        super().__init__(text)
        self.kind = kind
