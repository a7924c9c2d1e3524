"""DATA PLANE: carries consoles. Start reading at ``console.py``.

``listener``  the door: deadlines and caps until a request's head is there, then either
              a console or, for everything else, aiohttp
``request``   PURE reading of that head, and the 101 answer
``console``   one session from upgrade to end, in the order of the contract
``sessions``  the table of slots: who may come in, who has to leave (no I/O)
``registry``  the table behind an interface that can also lie in another process
``relay``     the hot path: bytes between a browser's websocket and a VNC port
``vm_end``, ``browser_end``  its two sides, each a family of classes of which a session gets one;
              ``end`` is what they share, ``websocket_end`` a VM behind a websocket
``pace``      how much is read at once and in one turn of the loop; ``throttle`` bandwidth limits;
              ``deadlines`` how long a side waits for its peer
``capacity``  how many consoles fit
``carried``   the consoles of this process, found by their slots
``page_connection``  aiohttp's connections, on our leash
``pages``     what the public ports answer beside consoles
``control``   what the manager may see of this proxy and do to it
``plan``      what the carrying part has to know; ``carrier`` that part: doors, page, consoles
``crew``      who carries: this process, or workers
``workers``   the package of supervisor and workers: several processes, one count
``certificate``  what the public ports serve TLS with; ``tls_door`` the handshake at the door,
              ``tls_end`` the record layer under the relay, ``tls_page`` under aiohttp
``app``       the house: builds all of it from settings, starts it, drains it, stops it
"""
