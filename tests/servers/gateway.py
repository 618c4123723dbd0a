"""A Dask Gateway on this machine: its clusters are processes of the same user."""

import subprocess
import sys
import time
from typing import Self
from urllib.error import URLError
from urllib.request import urlopen

from servers.process import SECONDS_TO_START, ServerProcess, free_port

# Dask's programs where this package is not seen, as on a facility that never heard of it.
PROGRAM = """
import sys
from pathlib import Path
sys.path = [p for p in sys.path if not (Path(p) / "agc_pipeline").exists()]
from distributed.cli.dask_{0} import main
main()
"""
CONFIGURATION = """
c.DaskGateway.backend_class = "dask_gateway_server.backends.local.UnsafeLocalBackend"
c.DaskGateway.authenticator_class = "dask_gateway_server.auth.SimpleAuthenticator"
c.DaskGateway.address = "127.0.0.1:{api_port}"
c.Proxy.address = "127.0.0.1:{port}"
c.Proxy.tcp_address = "127.0.0.1:{port}"
c.UnsafeLocalBackend.clusters_directory = "{clusters}"
c.UnsafeLocalBackend.cluster_start_timeout = 120
c.UnsafeLocalBackend.worker_start_timeout = 120
# The names that it knows went with an older Dask.
c.ClusterConfig.scheduler_cmd = {scheduler}
c.ClusterConfig.worker_cmd = {worker}
c.ClusterConfig.worker_cores = 1
c.ClusterConfig.worker_memory = "1 G"
"""


class Gateway(ServerProcess):
    """``dask-gateway-server`` with everything that it writes in the folder ``files``."""

    scheme = "http"

    def command(self) -> list[str]:
        configuration = self.files / "gateway.py"
        configuration.write_text(
            CONFIGURATION.format(
                api_port=free_port(),
                port=self.port,
                clusters=self.files / "clusters",
                scheduler=[sys.executable, "-c", PROGRAM.format("scheduler")],
                worker=[sys.executable, "-c", PROGRAM.format("worker")],
            )
        )
        return ["dask-gateway-server", f"--config={configuration}"]

    def url(self, name: str = "", *, port: int | None = None) -> str:
        return f"{self.scheme}://127.0.0.1:{port or self.port}{name}"

    def start(self) -> Self:
        super().start()
        # The proxy listens before it knows the way to the server.
        last = time.monotonic() + SECONDS_TO_START
        while True:
            try:
                urlopen(self.url("/api/health")).close()  # noqa: S310
            except URLError:
                if time.monotonic() > last:
                    self.kill()
                    raise
                time.sleep(0.1)
            else:
                return self

    def kill(self) -> None:
        """End it, and with it its proxy and all clusters."""
        with self._lock:
            if self._process is not None:
                self._process.terminate()
                try:
                    self._process.wait(30)
                except subprocess.TimeoutExpired:
                    super().kill()
                self._process = None
