"""The commands `openautoglm` and `oag`: argument parsing only, one file per command.

Owns `main`, which turns whatever ends a command into an exit code. A command imports what it needs
when it is called, so that help stays quick. Knows nothing of models, prompts or pipelines.
"""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line in `sys.argv` and end the process with its exit code."""
    try:
        from openautoglm.cli.ending import run_to_end

        code = run_to_end(sys.argv[1:])
    except KeyboardInterrupt:  # so early that nothing was done
        code = 130
    sys.exit(code)
