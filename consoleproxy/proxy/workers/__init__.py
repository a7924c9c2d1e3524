"""Supervisor and workers: one process that decides, several that carry (contracts of the planes, 5 and 6).

The supervisor's side:

``crew``      a process for each slot, born again when it dies, covered meanwhile; start reading here
``house``     what the crew has of its house, what it is told, and the place of one worker
``hand``      one worker, as its supervisor sees it
``desk``      answers what workers' consoles ask
``notices``   what all workers are told
``berths``    which worker accepts on which slot's sockets (no I/O); ``slot_sockets`` has these
``tally``     the metrics of all, added up
``spawn``     processes that outlive their parent's program
``gate``      where workers find a supervisor that came back, and operators the one that runs (``operators``)
``reload``    ``consoleproxy reload``: first a ``probe`` of the new program, then exec with a ``handover``
``respawn``   a supervisor's parent, where there is no systemd

The worker's side:

``worker``    a process that carries; ``privileges`` is what it gives up
``remote``    the registry and the control link as its consoles see them

Between them: ``orders`` over a ``line``; ``endings`` turns a word back into its error.
"""
