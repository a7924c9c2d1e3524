"""What a worker may do beyond carrying: nothing. The supervisor binds low ports, it does not."""

from __future__ import annotations

import ctypes
import logging

log = logging.getLogger(__name__)

_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_LINUX_CAPABILITY_VERSION_3 = 0x20080522


def drop_capabilities() -> None:
    """Give up every capability of this process, and the way back to them (capset(2), prctl(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_LINUX_CAPABILITY_VERSION_3, 0)
    none = (ctypes.c_uint32 * 6)()
    failed = (
        libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0),
        libc.capset(header, none),
    )
    if any(failed):
        log.warning("capabilities were not dropped", extra={"errno": ctypes.get_errno()})
