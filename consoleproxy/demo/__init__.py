"""``consoleproxy demo``: demo VMs, manager and proxies, by one command.

``screen``       a VM without a hypervisor: a VNC server that echoes what is typed
``desktop``      what it shows; ``canvas``, ``font``: what that is drawn with
``guest``        a real QEMU guest, where QEMU is installed
``boot_sector``  the 512 bytes that the guest boots
``machines``     the VMs together
``proxies``      proxies in processes of their own
``start_page``   lists the VMs and opens consoles, through the API
``town``         all of it: starts in order, stops in the other order
"""

from __future__ import annotations

from typing import cast

from consoleproxy.config import Settings
from consoleproxy.demo.town import DemoTown
from consoleproxy.ops.logs import start_logging
from consoleproxy.ops.process import Service, serve


def run(settings: Settings, *, json_output: bool) -> None:
    """Run the demo until Ctrl-C, or until SIGTERM and the end of its consoles.

    ``json_output``: any free ports, and one line of JSON on standard output once it is ready.
    Raises ``ConfigError`` when it cannot start.
    """
    start_logging(settings.log_level, settings.log_format)

    async def announce(service: Service) -> None:
        town = cast("DemoTown", service)
        print(town.as_json() if json_output else town.as_text(), flush=True)

    serve(lambda: DemoTown(settings, any_port=json_output), announce)
