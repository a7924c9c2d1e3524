"""PURE: bytes in, bytes out. How the protocols look on the wire, and nothing else.

No await, clock, socket, log or metric: time, nonces and file contents come in as
arguments. A handshake is a ``Conversation``: a generator that says what it needs
next (``Read``, ``Send``, ``StartTLS``) and returns what was agreed. One small driver,
``net/handshake.py``, runs it on a stream; the tests run it on plain bytes.

After the handshake nothing generic stands on the hot path: ``websocket`` and
``rfb_input`` parse incrementally what a browser sends, and what a VM sends is never
looked at.

A peer that breaks its protocol raises ``RemoteProtocolError``, and no other error.
``rfb_client`` alone says more: a VM that refuses us in words raises the ``VMError``
that tells why.
"""
