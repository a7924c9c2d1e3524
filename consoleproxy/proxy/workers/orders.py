"""What a supervisor and its workers say to each other: JSON packets, some with open files in them.

``number`` is a worker's own name of a slot, so that numbers of two workers, or of two
supervisors' times, never meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from consoleproxy.messages import AccessAnswer, AccessRequest, Fault, Refusal, SessionEnd, SessionOpened, Target
from consoleproxy.messages.codec import Codec
from consoleproxy.net.tls import TLSContexts
from consoleproxy.ops.samples import Family, Sample
from consoleproxy.proxy.console import Limits
from consoleproxy.proxy.plan import Door, Plan
from consoleproxy.proxy.sessions import SlotRequest

# --- supervisor to worker ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Configure:
    """How to carry; the policy comes before it. Answered by ``Ready``.

    ``folder`` is the state folder, where the worker finds the next supervisor; empty: there will be none.
    ``patience`` is how long, in seconds, it keeps its consoles without a supervisor or when retired.
    """

    plan: Plan
    slot: int
    folder: str
    patience: float
    log_level: str
    log_format: str


@dataclass(frozen=True, slots=True)
class Replan:
    """How to carry new consoles from now on; what is bound to the process stays as it was."""

    plan: Plan


@dataclass(frozen=True, slots=True)
class PolicyPush:
    """The whole policy; the keys as ``TokenKey.from_json`` reads them, empty while there are none."""

    token_key: str = field(repr=False)
    token_key_previous: str = field(repr=False)
    is_draining: bool
    checks_source_address: bool
    is_ready: bool


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate chain and its key, PEM."""

    chain: str
    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Certificates:
    """What the doors serve from now on; the first time before ``Configure``."""

    pairs: tuple[Pair, ...]


def certificates_of(tls: TLSContexts) -> Certificates:
    """Return what a worker has to serve."""
    return Certificates(tuple(Pair(pair.chain.decode(), pair.key.decode()) for pair in tls.pairs))


@dataclass(frozen=True, slots=True)
class Give:
    """The listening sockets of a slot come with this, one for each door."""

    slot: int


@dataclass(frozen=True, slots=True)
class Accept:
    """Accept on the sockets of exactly these slots, and close the others."""

    slots: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Retire:
    """Accept nothing more; leave when the last console has ended, or patience."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End every console with a word, and leave."""


@dataclass(frozen=True, slots=True)
class EndConsole:
    """End the console of a slot; ``reason`` is the word of a ``SessionEnded`` error."""

    number: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Told:
    """The control plane knows of this end."""

    session_id: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there? Answered by ``Pong``."""


@dataclass(frozen=True, slots=True)
class AskSamples:
    """What have you counted? Answered by ``Samples`` with the same id."""


@dataclass(frozen=True, slots=True)
class WhoAreYou:
    """Tell a supervisor that has replaced itself what you carry: ``Announce`` to ``Announced``."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The yes to ``Reserve`` and ``Commit``."""


# --- worker to supervisor ---------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker can accept."""


@dataclass(frozen=True, slots=True)
class Reserve:
    """Take a slot; answered by ``Granted`` or a ``Refusal``."""

    number: int
    request: SlotRequest


@dataclass(frozen=True, slots=True)
class Authorise:
    """May this viewer enter? Answered by ``AccessAnswer`` or a ``Refusal``."""

    request: AccessRequest


@dataclass(frozen=True, slots=True)
class Commit:
    """Make the slot's owner the viewer; answered when who was there has left."""

    number: int


@dataclass(frozen=True, slots=True)
class Release:
    """The slot is free; never answered."""

    number: int


@dataclass(frozen=True, slots=True)
class Ended:
    """A console ended; repeated to each new supervisor until ``Told``."""

    session: SessionEnd


@dataclass(frozen=True, slots=True)
class Pong:
    """I am."""


@dataclass(frozen=True, slots=True)
class Samples:
    """What the worker has counted."""

    families: tuple[Family, ...]


@dataclass(frozen=True, slots=True)
class Announce:
    """To a supervisor that does not know the worker: its slot, and the slots it accepts for."""

    slot: int
    accepts: tuple[int, ...]
    is_retired: bool


@dataclass(frozen=True, slots=True)
class Hold:
    """The listening sockets of a slot come back with this, one for each door."""

    slot: int


@dataclass(frozen=True, slots=True)
class Running:
    """A slot that is taken; ``opened`` is there once the control plane has said yes."""

    number: int
    request: SlotRequest
    is_viewer: bool
    opened: SessionOpened | None = None


@dataclass(frozen=True, slots=True)
class Carry:
    """Some of what the worker carries."""

    running: tuple[Running, ...]


@dataclass(frozen=True, slots=True)
class Announced:
    """That was all."""


# --- an operator to the supervisor ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reload:
    """Replace yourself by the program as it is now; answered by ``Granted``, or ``Fault`` with the reason."""


Order: TypeAlias = (
    Configure
    | Replan
    | PolicyPush
    | Certificates
    | Give
    | Accept
    | Retire
    | Stop
    | EndConsole
    | Told
    | Ping
    | AskSamples
    | WhoAreYou
    | Granted
    | AccessAnswer
    | Refusal
    | Fault
    | Ready
    | Reserve
    | Authorise
    | Commit
    | Release
    | Ended
    | Pong
    | Samples
    | Announce
    | Hold
    | Carry
    | Announced
    | Reload
)

KINDS: Mapping[str, type[Order]] = {
    "configure": Configure,
    "replan": Replan,
    "policy": PolicyPush,
    "certificates": Certificates,
    "give": Give,
    "accept": Accept,
    "retire": Retire,
    "stop": Stop,
    "end": EndConsole,
    "told": Told,
    "ping": Ping,
    "ask-samples": AskSamples,
    "who-are-you": WhoAreYou,
    "granted": Granted,
    "decision": AccessAnswer,
    "refused": Refusal,
    "error": Fault,
    "ready": Ready,
    "reserve": Reserve,
    "authorise": Authorise,
    "commit": Commit,
    "release": Release,
    "ended": Ended,
    "pong": Pong,
    "samples": Samples,
    "announce": Announce,
    "hold": Hold,
    "carry": Carry,
    "announced": Announced,
    "reload": Reload,
}

#: How they become packets and back.
CODEC: Codec[Order] = Codec(
    KINDS,
    (Plan, Door, Limits, SlotRequest, AccessRequest, SessionOpened, SessionEnd, Target, Running, Family, Sample, Pair),
)
