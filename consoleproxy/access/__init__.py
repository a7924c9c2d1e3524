"""PURE: who may open which console.

A console link carries one encrypted token, and everything that matters stands in it:
where the VM's screen is, its VNC password, the one-time session, the viewer's address.
Nothing else of the URL is believed, except the extra token, which only the person
who asked for the link can know.

Read in the order of a request:

``query``   the token and the extra token in the URL, and nothing else
``token``   the token's encryption (CloudStack's, so that its links open here and ours there)
``grant``   what a decrypted token allows, with types and meaning checked
``checks``  the questions that need no control plane; ``admit`` asks them in their fixed order
``ticket``  the two minutes in which a token may be used; asked by whoever holds the hash key

The control plane alone knows whether the one-time session is still unused; that
question is ``links``' and comes after all of these.

No await, clock, socket, log or metric: time, random bytes and the peer's address come
in as arguments. A refusal is a ``Refused`` error of ``consoleproxy.errors``, whose text is
for the log and never holds a secret.
"""
