"""What every error is: a stable code, the problem, what we got, the fix."""

from __future__ import annotations

from typing import ClassVar


class OpenAutoGLMError(Exception):
    """Carry one problem to the person who can fix it.

    Attributes:
        problem: what is wrong; lower case, no full stop.
        got: what was found instead, or None.
        fix: what to do about it, or None.

    Example:
        >>> from openautoglm.errors import ModelFolderError
        >>> print(ModelFolderError("no config.json", got="./models/x", fix="point at the folder"))
        [OAG302] no config.json
          got: ./models/x
          fix: point at the folder
    """

    code: ClassVar[str] = "OAG000"

    def __init__(self, problem: str, *, got: object = None, fix: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.got = got
        self.fix = fix

    def __str__(self) -> str:
        lines = [f"[{self.code}] {self.problem}"]
        if self.got is not None:
            lines.append(f"  got: {self.got}")
        if self.fix is not None:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.problem, self.got, self.fix)


def _rebuild(
    kind: type[OpenAutoGLMError], problem: str, got: object, fix: str | None
) -> OpenAutoGLMError:
    return kind(problem, got=got, fix=fix)
