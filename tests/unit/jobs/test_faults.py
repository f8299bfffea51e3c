"""An error that another process had is the same error here, without its cause."""

from __future__ import annotations

from openautoglm.errors import JobStateError, ModelNotFoundError
from openautoglm.jobs.faults import error_of, in_short
from openautoglm.jobs.orders import Fault
from openautoglm.jobs.running.told import fault_of


def test_an_error_of_ours_comes_back_with_its_class_and_its_fix() -> None:
    error = error_of(fault_of(ModelNotFoundError("no such model", got="x", fix="name another")))
    assert isinstance(error, ModelNotFoundError)
    assert str(error) == "[OAG301] no such model\n  got: x\n  fix: name another"


def test_any_other_error_comes_back_as_one_of_the_job() -> None:
    error = error_of(fault_of(ZeroDivisionError("by zero")))
    assert isinstance(error, JobStateError)
    assert error.problem == "ZeroDivisionError: by zero"


def test_a_reason_is_one_line() -> None:
    fault = Fault(code="OAG803", problem="it changed", got="\n    a\n    b", fix="bring it back")
    assert in_short(fault) == "it changed: a b; bring it back"
