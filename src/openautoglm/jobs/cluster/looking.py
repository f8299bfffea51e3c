"""What a node looks at for a job: ledger, source, sink, what is done with rows, the model.

Each look returns facts that can be compared with those of other nodes, or raises what is in the
way. Loads no model, reads no rows, and leaves nothing behind. Knows nothing of other nodes.
"""

from __future__ import annotations

import re
import time
from contextlib import closing, suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Final

import openautoglm
from openautoglm.engine.backend import BACKENDS, LoadSpec
from openautoglm.engine.choosing import HUB_NAME
from openautoglm.engine.loading import decide
from openautoglm.errors import (
    BackendUnavailableError,
    LedgerError,
    ModelNotFoundError,
    OpenAutoGLMError,
)
from openautoglm.jobs.checking import describe
from openautoglm.jobs.destination import try_sink
from openautoglm.jobs.home import open_at
from openautoglm.jobs.ledger.open import SQLITE, open_database
from openautoglm.jobs.works import read_intent
from openautoglm.jobs.works.digest import WEIGHTS, of_value
from openautoglm.platform_io.packages import look_for_packages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from openautoglm.jobs.cluster.question import Fact, Question, Topic
    from openautoglm.jobs.ledger.database import Session
    from openautoglm.jobs.spec import JobSpec

PATIENCE_S: Final = 1.0
MODIFIED: Final = re.compile(r" ?modified=\d+")
"""Of a file's fingerprint: a copy on another disk has another time, and the same rows."""
VERSIONS: Final = "oag_version"
OF_SERVER: Final = """select {now}, cast(extract(epoch from pg_postmaster_start_time()) as text),
cast(current_database() as text), cast(current_schema() as text),
cast(has_schema_privilege(current_schema(), 'CREATE') as integer)"""


def looks(question: Question) -> Iterator[tuple[Topic, Callable[[], Mapping[str, Fact]]]]:
    """Yield what there is to look at, the quickest first."""
    yield "openautoglm", lambda: {"version": openautoglm.__version__}
    if (url := question.ledger) is not None:
        yield "ledger", lambda: look_at_ledger(url)
    if (spec := question.spec) is not None:
        yield "source", lambda: look_at_source(spec)
        yield "sink", lambda: look_at_sink(spec, question.mark)
        yield "work", lambda: look_at_work(spec)
        yield "model", lambda: look_at_model(spec)


def look_at_ledger(url: str) -> Mapping[str, Fact]:
    """Tell which server a ledger is, and how far its clock is ahead of the one here."""
    if url.startswith(SQLITE):
        with closing(open_at(url)):
            return {"server": url}
    with closing(open_database(url, patience_s=PATIENCE_S)) as database:

        def ask(session: Session) -> tuple[float, tuple[object, ...], bool]:
            has_tables = (VERSIONS,) in session.rows("{tables}")
            began_s = time.time()
            (row,) = session.rows(OF_SERVER)
            return (began_s + time.time()) / 2, row, has_tables

        here_s, row, has_tables = database.read(ask)
    there_s, started, name, schema, may_create = row
    if schema is None:
        raise LedgerError(
            "the ledger's database has no schema for this user",
            got=f"{name}",
            fix="see `search_path` of the user or the URL",
        )
    return {
        "server": f"{name} of the server that was started at {started}",
        "ahead_s": float(str(there_s)) - here_s,
        "may_be_kept": has_tables or bool(may_create),
    }


def look_at_source(spec: JobSpec) -> Mapping[str, Fact]:
    """Tell what the source is."""
    described = describe(spec.source)
    parts = {part: MODIFIED.sub("", text) for part, text in described.fingerprint.items()}
    return {
        "parts": len(parts),
        "digest": of_value(parts),
        "size_bytes": described.size_bytes,
        "rows": described.rows,
    }


def look_at_sink(spec: JobSpec, mark: str | None) -> Mapping[str, Fact]:
    """Tell whether the sink's folder is the one of the driver; None where nobody can tell."""
    sees = None if mark is None else Path(mark).exists()
    try_sink(spec.sink)
    return {"is_shared": sees}


def look_at_work(spec: JobSpec) -> Mapping[str, Fact]:
    """Tell what answers depend on; a function is imported."""
    return dict(read_intent(spec).fingerprint())


def look_at_model(spec: JobSpec) -> Mapping[str, Fact]:
    """Tell which backend would run the model, and how large that is; empty where none is needed.

    Raises:
        BackendUnavailableError: packages of the backend are missing.
        ModelNotFoundError: there is no such folder.
    """
    if not _needs_model(spec):
        return {}
    chosen = decide(spec.model, spec.backend, LoadSpec(model=spec.model))
    path = _local(chosen.model)
    if path is not None and not path.exists():
        raise ModelNotFoundError(
            "the model is not on this node",
            got=str(path),
            fix="copy it to the same path, or name a folder that all nodes share",
        )
    extra = BACKENDS.get(chosen.backend).extra
    missing = _missing(extra)
    if extra and missing:
        raise BackendUnavailableError(
            f"the backend `{chosen.backend}` lacks packages on this node",
            got=", ".join(missing),
            fix=f'pip install "openautoglm[{extra}]"',
        )
    return {"backend": chosen.backend, "weights_bytes": None if path is None else _weights(path)}


def _needs_model(spec: JobSpec) -> bool:
    with suppress(OpenAutoGLMError):  # told of as `work`
        return "model" in read_intent(spec).fingerprint()
    return False


def _local(model: str | None) -> Path | None:
    """Return a model's path; None for a name on the hub, a URL, or the backend's own."""
    if model is None or "://" in model:
        return None
    path = Path(model).expanduser()
    return None if HUB_NAME.fullmatch(model) and not path.exists() else path


def _weights(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for pattern in WEIGHTS for file in path.glob(pattern))


def _missing(extra: str | None) -> tuple[str, ...]:
    required = look_for_packages(metadata.requires("openautoglm") or ())
    return tuple(p.name for p in required if extra and p.extra == extra and p.version is None)
