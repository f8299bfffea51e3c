"""The WASI component that test_wasi.py builds: CPython, the package, and one function.

componentize-py keeps the modules that are imported while it builds and no others, so the driver,
which is imported only when chosen, is named here. So must an application do.
"""

from __future__ import annotations

import checks  # type: ignore[import-not-found] # componentize-py puts it beside this file
import wit_world  # type: ignore[import-not-found] # componentize-py makes it from check.wit

import openautoglm.platform_io.wasi  # noqa: F401 - kept by being imported


class WitWorld(wit_world.WitWorld):  # type: ignore[misc] # as above
    """The world `check` of check.wit."""

    def report(self, folder: str) -> str:
        """Run checks.py in a folder the host preopened."""
        report: str = checks.report("wasi", folders=[folder])
        return report
