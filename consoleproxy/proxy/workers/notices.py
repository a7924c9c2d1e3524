"""What every worker is told unasked: the policy, the certificates, and whether the proxy is ready."""

from __future__ import annotations

from collections.abc import Iterable

from consoleproxy.ops.routes import Readiness
from consoleproxy.proxy.plan import Policy
from consoleproxy.proxy.workers.hand import Hand
from consoleproxy.proxy.workers.orders import PolicyPush, certificates_of


class Notices:
    """Tells workers; what was told before is remembered, so that only changes are told to all."""

    def __init__(self, policy: Policy, readiness: Readiness) -> None:
        self._policy = policy
        self._readiness = readiness
        self._was_ready = False
        self._certificates = 0

    @property
    def is_old(self) -> bool:
        """Whether workers think otherwise of the proxy's readiness."""
        return self._readiness()[0] != self._was_ready

    def greet(self, hand: Hand) -> None:
        """Tell a new worker all of it, before it is configured."""
        hand.line.tell(self._policy_push())
        if self._policy.tls is not None:
            hand.line.tell(certificates_of(self._policy.tls))

    def tell(self, hands: Iterable[Hand]) -> None:
        """Tell all workers the policy, and the certificates where they have changed."""
        self._was_ready = self._readiness()[0]
        tls = self._policy.tls
        has_new = tls is not None and tls.current.number != self._certificates
        for hand in hands:
            if hand.process is not None:
                self.greet(hand) if has_new else hand.line.tell(self._policy_push())
        if tls is not None:
            self._certificates = tls.current.number

    def _policy_push(self) -> PolicyPush:
        policy, keys = self._policy, self._policy.keys
        return PolicyPush(
            token_key=keys.current.to_json() if keys else "",
            token_key_previous=keys.previous.to_json() if keys and keys.previous else "",
            is_draining=policy.is_draining,
            checks_source_address=policy.checks_source_address,
            is_ready=self._was_ready,
        )
