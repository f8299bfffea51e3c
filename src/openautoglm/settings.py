"""Frozen settings read once from the environment, and `need` for optional packages.

Knows nothing of what the settings are used for.
"""

from __future__ import annotations

import importlib
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from openautoglm.errors import InvalidParameterError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType


HOME: Final = Path("~/.local/share/openautoglm")
ANSWERS_MB: Final = 1024
WORKER_GRACE_S: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a user may set for a whole process, each by one environment variable.

    Attributes:
        model: model folder or name used where none is given (`OPENAUTOGLM_MODEL`); None is `nano`.
        kernels: kernels or libraries preferred by operator, as in `add=reference;mul=fast,native`
            (`OPENAUTOGLM_KERNELS`).
        prompts_dir: folder of the prompt store (`OPENAUTOGLM_PROMPTS`), default `./prompts`.
        home: folder of what is kept between runs: plugins, keys, the ledger of jobs
            (`OPENAUTOGLM_HOME`), default `openautoglm` in `XDG_DATA_HOME`, or in `~/.local/share`.
        ledger: URL of another ledger of jobs and schedules (`OPENAUTOGLM_LEDGER`); None is the one
            in `home`.
        engine: what runs the workers of jobs (`OPENAUTOGLM_ENGINE`): `local`, `ray`, or the address
            of a Ray cluster; None is `local`.
        answers_mb: most megabytes of answers that jobs with `cache` keep in `home`
            (`OPENAUTOGLM_ANSWERS_MB`), default 1024.
        worker_grace_s: seconds that rows under way have to end in, where a worker of a job is told
            to stop (`OPENAUTOGLM_WORKER_GRACE_S`), default 5.
    """

    model: str | None = None
    prompts_dir: Path = Path("prompts")
    kernels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    home: Path = HOME
    ledger: str | None = None
    engine: str | None = None
    answers_mb: int = ANSWERS_MB
    worker_grace_s: float = WORKER_GRACE_S

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read the settings from an environment such as `os.environ`; empty means unset."""
        return cls(
            model=env.get("OPENAUTOGLM_MODEL") or None,
            prompts_dir=Path(env.get("OPENAUTOGLM_PROMPTS") or "prompts"),
            kernels=_read_kernels(env.get("OPENAUTOGLM_KERNELS") or ""),
            home=_home(env),
            ledger=env.get("OPENAUTOGLM_LEDGER") or None,
            engine=env.get("OPENAUTOGLM_ENGINE") or None,
            answers_mb=int(_read_number(env, "OPENAUTOGLM_ANSWERS_MB", ANSWERS_MB)),
            worker_grace_s=_read_number(env, "OPENAUTOGLM_WORKER_GRACE_S", WORKER_GRACE_S),
        )


def _home(env: Mapping[str, str]) -> Path:
    if own := env.get("OPENAUTOGLM_HOME"):
        return Path(own)
    shared = env.get("XDG_DATA_HOME")
    return Path(shared) / "openautoglm" if shared else HOME


def _read_number(env: Mapping[str, str], name: str, default: float) -> float:
    text = env.get(name) or str(default)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise InvalidParameterError(
            f"{name} is not a number of 0 or more", got=text, fix=f"for example {name}={default:g}"
        )
    return number


def _read_kernels(text: str) -> dict[str, tuple[str, ...]]:
    preferred = {}
    for choice in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, kernels = choice.partition("=")
        names = tuple(kernel.strip() for kernel in kernels.split(",") if kernel.strip())
        if not equals or not name.strip() or not names:
            raise InvalidParameterError(
                "OPENAUTOGLM_KERNELS names kernels by operator",
                got=choice,
                fix="write it like add=reference;mul=fast,native",
            )
        preferred[name.strip()] = names
    return preferred


def need(module: str, *, extra: str, why: str) -> ModuleType:
    """Import an optional module, or say which extra brings it.

    Raises:
        MissingExtraError: the module is not installed.

    Example:
        >>> need("json", extra="local", why="an example").__name__
        'json'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as cause:
        raise MissingExtraError(
            f"{why} needs the package `{cause.name}`, which is not installed",
            fix=f'pip install "openautoglm[{extra}]"',
        ) from cause
