"""VNC Authentication: answering a server's challenge with DES.

Source: rfbproto 7.2.2 and CloudStack fact 1.8. Weak by design (eight characters, DES);
it is what hypervisors speak, and it stays between the proxy and the hypervisor.
"""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher, modes

CHALLENGE_SIZE: Final = 16
PASSWORD_SIZE: Final = 8

_REVERSED_BITS: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def answer(password: str, challenge: bytes) -> bytes:
    """Return the 16 bytes that prove ``password`` to the server that sent the 16 bytes of ``challenge``.

    Only the first eight characters count. Characters outside ASCII become ``?``, as in
    CloudStack's own proxy, so that both reach the same servers.
    """
    key = password.encode("ascii", "replace")[:PASSWORD_SIZE].ljust(PASSWORD_SIZE, b"\0").translate(_REVERSED_BITS)
    # The library keeps single DES only as TripleDES with three equal keys, which is the same function.
    # ECB is what the protocol prescribes: two independent blocks of one random challenge.
    encryptor = Cipher(TripleDES(key * 3), modes.ECB()).encryptor()  # noqa: S305 - see above
    return encryptor.update(challenge) + encryptor.finalize()
