"""Wheels of installed packages with an edit, as another release of them."""

import zipfile
from importlib.metadata import distribution
from pathlib import Path

# What coffea does with each column that it reads; the edit comes before the column is returned.
_READING = "coffea/nanoevents/mapping/uproot.py"
_RETURNED = "        return the_array\n"
EDITS = {
    "shift": (
        _READING,
        _RETURNED,
        '        if columnhandle.name == "Jet_pt":\n'
        "            the_array = awkward.values_astype(the_array * 1.001, numpy.float32)\n"
        + _RETURNED,
    ),
    "sleep": (_READING, _RETURNED, "        __import__('time').sleep(0.2)\n" + _RETURNED),
    "raise": (
        "coffea/__init__.py",
        "from . import _version\n",
        "raise RuntimeError('coffea of this release is broken')\nfrom . import _version\n",
    ),
}


def edited(package: str, label: str, folder: Path) -> Path:
    """A wheel of an installed package of pure Python with one of the edits.

    Its version is the installed one with the label as a local part.
    """
    path, old, new = EDITS[label]
    found = distribution(package)
    before = f"{package}-{found.version}"
    after = f"{before}+{label}"
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{after}-py3-none-any.whl"
    names = []
    edits = 0
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in found.files or ():
            name = file.as_posix()
            if name.endswith((".pyc", "RECORD", "INSTALLER", "REQUESTED", "direct_url.json")):
                continue
            if name.startswith(".."):
                continue
            content = file.read_binary()
            if name == path:
                text = content.decode()
                assert old in text
                content = text.replace(old, new).encode()
                edits += 1
            if name == f"{before}.dist-info/METADATA":
                version = f"Version: {found.version}"
                content = content.replace(version.encode(), f"{version}+{label}".encode(), 1)
            name = name.replace(f"{before}.dist-info", f"{after}.dist-info")
            archive.writestr(name, content)
            names.append(name)
        record = f"{after}.dist-info/RECORD"
        archive.writestr(record, "".join(f"{name},,\n" for name in [*names, record]))
    assert edits == 1
    return wheel
