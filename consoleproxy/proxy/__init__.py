"""DATA PLANE: carries consoles. Start reading at ``console.py``.

``listener``  the door: deadlines and caps until a request's head is there, then either
              a console or, for everything else, aiohttp
``request``   PURE reading of that head, and the 101 answer
``console``   one session from upgrade to end, in the order of the contract
``sessions``  the table of slots: who may come in, who has to leave (no I/O)
``registry``  the table behind an interface that can also lie in another process
``relay``     the hot path: bytes between a browser's websocket and a VNC port
``vm_end``, ``browser_end``  its two sides, each a family of classes of which a session gets one;
              ``end`` is what they share
``pace``      how much is read at once and in one turn of the loop; ``throttle`` bandwidth limits;
              ``deadlines`` how long a side waits for its peer
``capacity``  how many consoles fit
``carried``   the consoles of this process, found by their slots
``page_connection``  aiohttp's connections, on our leash
``pages``     what the public ports answer beside consoles
``control``   what the manager may see of this proxy and do to it
``plan``      what the carrying part has to know; ``carrier`` that part: doors, page, consoles
``crew``      who carries: this process, or workers
``workers``   the supervisor's crew: a process for each slot, born again and covered; ``hand`` is one of them,
              ``desk`` answers what their consoles ask, ``notices`` what all are told, ``berths`` who accepts
              where, ``slot_sockets`` the sockets, ``tally`` their numbers together, ``spawn`` their processes
``worker``    the other side: a process that carries; ``remote`` is the registry and the link as it sees them,
              ``privileges`` what it gives up
``orders``    what both say to each other, over a ``line``; ``endings`` turns a word back into its error
``gate``      where workers find a supervisor that came back, and operators the one that runs (``operators``)
``reload``    ``consoleproxy reload``: first a ``probe`` of the new program, then exec with a ``handover``;
              ``respawn`` is a supervisor's parent where there is no systemd
``app``       the house: builds all of it from settings, starts it, drains it, stops it
"""
