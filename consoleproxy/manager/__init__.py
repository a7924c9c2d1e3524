"""CONTROL PLANE: who may open which console, on which proxy.

``service``   instances, console endpoints and one-time sessions
``endpoint``  PURE: the addresses that a person and a program get
``app``       what the manager answers over HTTP

This is the control plane of ``consoleproxy demo``: it lives in memory and in the same
process as the proxy, which reaches it through ``links/direct``.
"""
