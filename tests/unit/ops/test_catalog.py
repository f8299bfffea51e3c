from __future__ import annotations

import numpy as np
import pytest

from openautoglm import ops
from openautoglm.errors import NameTakenError, UnknownNameError
from openautoglm.ops import catalog
from openautoglm.ops.opdef import OpDef
from openautoglm.registry import owned_by

ONE = np.ones(1)


def of(by: float) -> OpDef:
    return OpDef.from_schema("cat_op(Tensor x) -> Tensor", reference=lambda x: x * by)


@pytest.mark.usefixtures("owned")
def test_a_taken_name_is_an_error_and_changes_nothing() -> None:
    first = catalog.add(of(2))
    with pytest.raises(NameTakenError, match="`cat_op` is taken") as caught:
        catalog.add(of(3))
    assert caught.value.fix == "`ops.remove('cat_op')` first, or `ops.replace` it"
    with pytest.raises(NameTakenError, match="`add` is taken"):
        ops.define("add", inputs=[ops.In("x")])
    with owned_by("another"), pytest.raises(NameTakenError, match=r"tests\.ops added before"):
        catalog.add(of(3))
    assert ops.get("cat_op") is first


def test_without_an_owner_in_force_the_calling_module_owns() -> None:
    ops.define("mine", inputs=[ops.In("x")])
    assert ops.OPERATORS.entry("mine").owner == __name__
    assert ops.OPERATORS.revoke(__name__) == ("mine",)
    with owned_by("someone"):
        ops.define("theirs", inputs=[ops.In("x")])
    assert ops.OPERATORS.revoke("someone") == ("theirs",)
    assert not {"mine", "theirs"} & set(ops.names())


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match="did you mean `rms_norm`"):
        ops.get("rms_nrm")
    with pytest.raises(UnknownNameError):
        ops.remove("nothing")


def test_an_operator_is_asked_for_by_a_name() -> None:
    with pytest.raises(UnknownNameError, match="by its name") as caught:
        ops.get(3)  # type: ignore[arg-type] # the mistake
    assert caught.value.got == "3"


@pytest.mark.usefixtures("owned")
def test_versions_are_put_aside_and_brought_back_in_order() -> None:
    first = catalog.add(of(1))
    second, third = ops.replace(of(2)), ops.replace(of(3))
    assert [op.opdef.version for op in (first, second, third)] == [1, 2, 3]
    assert [op(ONE)[0] for op in (first, second, third, ops.get("cat_op"))] == [1, 2, 3, 3]
    assert ops.rollback("cat_op") is second
    assert ops.rollback("cat_op") is first
    with pytest.raises(UnknownNameError, match="no earlier version"):
        ops.rollback("cat_op")


def test_a_replaced_operator_keeps_its_owner(owned: str) -> None:
    catalog.add(of(1))
    with owned_by("another"):
        ops.replace(of(2))
    assert ops.OPERATORS.entry("cat_op").owner == owned


def test_versions_of_an_operator_that_was_revoked_do_not_come_back(owned: str) -> None:
    catalog.add(of(1))
    ops.replace(of(2))
    ops.OPERATORS.revoke(owned)
    again = catalog.add(of(5))
    with pytest.raises(UnknownNameError, match="no earlier version"):
        ops.rollback("cat_op")
    assert ops.get("cat_op") is again
    assert ops.replace(of(6)).opdef.version == 2
    ops.remove("cat_op")
    assert again(ONE)[0] == 5
