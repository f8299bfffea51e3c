"""The check of a folder of sources under AddressSanitizer, which needs a process it is in first.

Owns the child: an interpreter with libasan loaded before all else, in which sources are built with
`-fsanitize=address` and only kernels are checked: torch is left to the ordinary check. A library
built so runs code while it is loaded, which is otherwise refused; here it is loaded in the child
alone.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, final

from openautoglm.errors import BuildFailedError, CheckFailedError
from openautoglm.native import elf
from openautoglm.native.manifest import SYMBOL_PREFIX, parse
from openautoglm.native.toolchain import INCLUDE, INSTRUCTION_SETS, runtime_library
from openautoglm.ops import catalog
from openautoglm.ops.check.memory import has_guards
from openautoglm.ops.check.report import CheckReport, CheckRow
from openautoglm.ops.kernel import Kernel
from openautoglm.ops.opdef import OpDef
from openautoglm.settings import need

if TYPE_CHECKING:
    from openautoglm.ops.check.plan import Plan
    from openautoglm.ops.registered import RegisteredOperator

FLAGS: Final = (
    *("-O1", "-g", "-fPIC", "-fvisibility=hidden", "-fno-omit-frame-pointer"),
    "-fsanitize=address",
)
OPTIONS: Final = "detect_leaks=0:handle_segv=0:allocator_may_return_null=1:exitcode=99"
TIMEOUT_S: Final = 600.0
_PROGRAM: Final = """\
import sys
from openautoglm.ops.check.sanitized import serve
serve(sys.argv[1])
"""


def run_sanitized(op: RegisteredOperator | str | Path, plan: Plan) -> CheckReport:
    """Check the kernels of a folder in a child process, under AddressSanitizer.

    Raises:
        CheckFailedError: it is no folder, or the child gave no report.
        BuildFailedError: the compiler has no AddressSanitizer.
    """
    if not isinstance(op, (str, Path)) or not Path(op).is_dir():
        raise CheckFailedError(
            "AddressSanitizer has to be compiled in", got=str(op), fix="give a folder of sources"
        )
    asked = {
        "path": str(Path(op).resolve()),
        "kernels": list(plan.kernels),
        "dtypes": list(plan.dtypes),
        "seed": plan.seed,
        "profile": plan.profile,
        "tolerances": dict(plan.tolerances),
    }
    environment = {**os.environ, "LD_PRELOAD": str(_runtime()), "ASAN_OPTIONS": OPTIONS}
    done = subprocess.run(  # noqa: S603 - our own interpreter and program
        [sys.executable, "-c", _PROGRAM, json.dumps(asked)],
        capture_output=True,
        check=False,
        env=environment,
        timeout=TIMEOUT_S,
        text=True,
    )
    try:
        found = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError) as cause:
        last = done.stderr.strip().splitlines()[-3:]
        raise CheckFailedError(
            "the check under AddressSanitizer ended without a report", got="; ".join(last)
        ) from cause
    rows = tuple(CheckRow(**row) for row in found["rows"])
    return CheckReport(target=str(op), profile=plan.profile, seed=plan.seed, rows=rows)


def serve(asked: str) -> None:
    """Check what the parent asked for and print the report; the child's whole work."""
    from openautoglm.ops.check.checking import run_check
    from openautoglm.ops.check.oracle import TOLERANCES
    from openautoglm.ops.check.plan import Plan

    wanted = json.loads(asked)
    plan = Plan(
        kernels=tuple(wanted["kernels"]),
        grad=False,
        dtypes=tuple(wanted["dtypes"]),
        tolerances={**TOLERANCES, **wanted["tolerances"]},
        seed=wanted["seed"],
        profile=wanted["profile"],
        torch=False,
    )
    has_guards.set(False)
    report = run_check(wanted["path"], plan, load=_Sanitized)
    sys.stdout.write("\n" + json.dumps(json.loads(report.to_json())) + "\n")


@final
class _Sanitized:
    """Kernels of a folder, built with the sanitizer and loaded without an examination."""

    def __init__(self, folder: Path) -> None:
        tvm_ffi = need("tvm_ffi", extra="ops", why="loading a kernel library")
        with TemporaryDirectory(prefix="oag-check-") as scratch:
            library = _built(folder, Path(scratch))
            rows = parse(elf.read(library).manifest)
            module = tvm_ffi.load_module(str(library))
        for stated in rows.operators:
            if stated.name not in catalog.names():
                catalog.add(OpDef.from_schema(stated.schema))
        for number, row in enumerate(rows.kernels):
            if row.device != "cpu":
                continue
            made = Kernel(
                name=folder.name if number == 0 else f"{folder.name}.{number + 1}",
                op=row.op,
                function=module.get_function(row.symbol.removeprefix(SYMBOL_PREFIX)),
                device=row.device,
                dtypes=row.dtypes or None,
                language=row.language,
                contiguous=row.is_contiguous,
            )
            catalog.get(row.op).table.add(made)

    def unload(self) -> None:
        """Leave it: the process ends with the check."""


def _built(folder: Path, scratch: Path) -> Path:
    """Compile the sources of a folder for this machine's baseline."""
    runtime = runtime_library().parent
    include = [f"-I{path}" for path in (folder, INCLUDE, runtime.parent / "include")]
    objects = []
    for source in sorted(folder.iterdir()):
        is_variant = source.stem.rpartition("_")[2] in INSTRUCTION_SETS
        if source.suffix not in (".c", ".cc", ".cpp") or is_variant:
            continue
        made = scratch / f"{source.name}.o"
        word = re.sub(r"\W", "_", source.name)
        kind = ["gcc"] if source.suffix == ".c" else ["g++", "-std=c++17"]
        _run([*kind, *FLAGS, *include, f"-DOAG_UNIT={word}", "-c", str(source), "-o", str(made)])
        objects.append(str(made))
    library = scratch / f"{folder.name}.so"
    link = [f"-L{runtime}", f"-Wl,-rpath,{runtime}", "-ltvm_ffi"]
    _run(["g++", "-shared", "-fsanitize=address", *objects, "-o", str(library), *link])
    return library


def _run(command: list[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(  # noqa: S603 - the compiler, on sources the user named
        command, capture_output=True, check=False, env=environment, text=True
    )
    if done.returncode:
        raise BuildFailedError(
            "the compiler did not accept the source",
            got="\n       ".join(done.stderr.strip().splitlines()[:6]),
            fix="correct the first error; the others may follow from it",
        )


def _runtime() -> Path:
    done = subprocess.run(
        ["g++", "-print-file-name=libasan.so"],  # noqa: S607 - the compiler on PATH builds too
        capture_output=True,
        check=False,
        text=True,
    )
    path = Path(done.stdout.strip())
    if not path.is_absolute():
        raise BuildFailedError(
            "the compiler has no AddressSanitizer", got="no libasan.so", fix="install libasan"
        )
    return path.resolve()
