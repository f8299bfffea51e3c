"""`python -m openautoglm` is the command `oag`."""

from __future__ import annotations

from openautoglm.cli import main

if __name__ == "__main__":
    main()
