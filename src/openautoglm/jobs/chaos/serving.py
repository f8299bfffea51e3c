"""The model server of a job, and a way to it that can be spoilt: `between`.

Owns how a job names its server. Knows nothing of what is answered.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import msgspec

from openautoglm.jobs.chaos.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openautoglm.jobs.spec import JobSpec

URL: Final = re.compile(r"https?://.+", re.IGNORECASE)
OPTION: Final = "base_url"


def server_of(spec: JobSpec) -> str | None:
    """Return the URL of the server that a job asks, None where it asks none.

    Example:
        >>> from openautoglm.jobs import JobSpec
        >>> server_of(JobSpec(source="a", sink="b", model="http://127.0.0.1:8000/v1"))
        'http://127.0.0.1:8000/v1'
    """
    for named in (spec.options.get(OPTION), spec.model):
        if isinstance(named, str) and URL.fullmatch(named):
            return named
    return None


@contextmanager
def between(spec: JobSpec) -> Iterator[tuple[JobSpec, Proxy | None]]:
    """Yield the job with a proxy in the place of its server, and the proxy; the job must be new."""
    server = server_of(spec)
    if server is None:
        yield spec, None
        return
    with Proxy(server) as proxy:
        if OPTION in spec.options:
            options = {**spec.options, OPTION: proxy.url}
            yield msgspec.structs.replace(spec, options=options), proxy
        else:
            yield msgspec.structs.replace(spec, model=proxy.url), proxy
