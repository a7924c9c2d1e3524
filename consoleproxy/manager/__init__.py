"""CONTROL PLANE: who may open which console, on which proxy.

What decides:

``control``        the service that API, links and demo talk to
``consoles``       one console: its place on a proxy, its one-time link, its one use
``allocate``       PURE: which proxy gets a new console
``endpoint``       PURE: the addresses that a person and a program get
``settings``       settings that change while it runs
``model``          what the store keeps and the others speak of

What it keeps:

``store``          all that survives a kill -9: ``store_inventory`` and ``store_sessions`` are the SQL,
                   ``store_engine`` the commits, ``store_schema`` and ``migrations`` the tables
``masterkey``      the key under which secrets lie in the store
``inventory``      the YAML file of accounts and instances

What it answers:

``api``            ``/client/api``: ``api_commands``, ``api_objects``, ``api_parameters`` are its parts
``signature``      PURE: whether a request was signed with the account's key
``admin_api``      ``/admin``: what CloudStack's API has no command for
``link``           the proxies' connections
``metrics``        what it counts

``program`` puts all of it together; ``app`` is ``consoleproxy manager``.
"""
