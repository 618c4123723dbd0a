"""Debian's XRootD server."""

import os
import shutil
from pathlib import Path

from servers.process import ServerProcess

# It refuses to run as root.
_USER = "nobody"

_CONFIGURATION = """\
all.export /files
oss.localroot {folder}
all.adminpath {folder}/admin
all.pidpath {folder}/admin
xrd.port {port}
xrd.network nodnr
xrd.allow host 127.0.0.1
xrootd.chksum max 2 adler32
"""


class XRootDServer(ServerProcess):
    """Serves the folder ``files`` below a folder that the server's user can read."""

    scheme = "root"

    def __init__(self, files: Path) -> None:
        super().__init__(files)
        folder = files.parent
        (folder / "admin").mkdir(exist_ok=True)
        if os.getuid() == 0:
            shutil.chown(folder / "admin", _USER)
        self._configuration = folder / "xrootd.cfg"
        self._configuration.write_text(_CONFIGURATION.format(folder=folder, port=self.port))

    @staticmethod
    def program() -> str | None:
        return shutil.which("xrootd")

    def command(self) -> list[str]:
        user = ["-R", _USER] if os.getuid() == 0 else []
        log = self._configuration.parent / "admin" / "log"
        return ["xrootd", *user, "-I", "v4", "-l", str(log), "-c", str(self._configuration)]

    def url(self, name: str, *, port: int | None = None) -> str:
        return f"root://127.0.0.1:{port or self.port}//files/{name}"
