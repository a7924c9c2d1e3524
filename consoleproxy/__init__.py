"""consoleproxy: the screen of a virtual machine, in the browser.

Three sides, two planes::

    browser (noVNC page, any websocket client)
       |  page, websocket
    PROXY (data plane, many) <-- control link -- MANAGER (control plane)
       |  RFB
    hypervisor's VNC port

The map of the packages, from the top down. Imports point downward only, and
``tests/test_layers.py`` holds them to it:

``cli``        subcommands; builds the objects, owns signals and exit codes
``demo``       demo VMs, their manager and proxies, by one command
``proxy``      DATA PLANE: start reading at ``proxy/console.py``, one session from upgrade to end
``manager``    CONTROL PLANE: who may open which console, on which proxy
``backends``   reaching a VM: the only switch on the kind of backend
``links``      reaching the control plane: the interface ``ControlLink``, direct and over a websocket
``net``        carrying bytes: streams, and the driver that runs a wire conversation on them
``ops``        metrics, logs, the operators' port, the pages' files, serving until asked to stop
``messages``   the shapes that travel between the planes
``access``     PURE: token, ticket, grant and the checks on them
``wire``       PURE: bytes in, bytes out: RFB on both sides, VncAuth, websocket frames
``config``     start-up settings, one dataclass field each
``errors``     the error tree: end reason, close code, HTTP status and sentence of each
"""

__version__ = "0.1.0"
