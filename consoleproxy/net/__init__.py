"""Carrying bytes: the one narrow waist between protocols and sockets.

Whatever carries bytes is a ``ByteStream`` of five methods, on a raw socket that no
transport owns yet. Handshakes run on it; then ``detach`` turns it into a ``Channel``
(the socket and what was read too far), which the relay takes over.

Errors of the operating system are translated here and nowhere else: the peer went
away is ``PeerClosed``, whoever the peer is.

``stream``     the interface, and plain TCP
``handshake``  runs a wire conversation on a stream
``tls``        certificates, and the server contexts made of them
``tls_stream`` a stream through TLS; ``tls_state``: its engine, which the relay takes over
``websocket``  a browser's websocket as a stream, and a VM's, whose client we are (``masking`` is for that one)
``packets``    packets between two processes of this machine, with open files in them
``listening``  listening sockets, and who can reach them
``tasks``      background tasks with an owner; ``waiting`` for what nobody tells
"""
