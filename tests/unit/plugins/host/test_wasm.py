"""Modules that work, that are refused, and that are stopped."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openautoglm.errors import PluginTimeoutError, WasmCallError, WasmModuleError
from openautoglm.pipeline.catalog import STEPS
from openautoglm.pipeline.remote_step import remote_step
from openautoglm.plugins.host import PluginHost
from openautoglm.plugins.host.wasm import MIB, WasmLimits, WasmObject
from openautoglm.plugins.manifest import Limits, Manifest, Provides
from openautoglm.plugins.points import POINTS

if TYPE_CHECKING:
    from openautoglm.plugins.host.placing import Level

wasmtime = pytest.importorskip("wasmtime")

ROOT = Path(__file__).parents[4]
LIMITS = WasmLimits(memory_bytes=4 * MIB, fuel=2_000_000, deadline_s=5.0)

HEAD = """
(memory (export "memory") 1)
(func (export "oag1_alloc") (param i32) (result i32) (i32.const 1024))
"""


def assembled(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def from_page() -> bytes:
    page = (ROOT / "docs/isolation.md").read_text(encoding="utf-8")
    found = re.search(r"```wat\n(.*?)```", page, re.DOTALL)
    assert found is not None
    return assembled(found[1])


UPPER = from_page()


def module(body: str, head: str = HEAD) -> bytes:
    """Return a module with a method `f` of this body."""
    return assembled(f'(module {head} (func (export "f") (param i32 i32) (result i64) {body}))')


def failure(body: str, limits: WasmLimits = LIMITS) -> WasmCallError:
    with WasmObject(module(body), limits) as loaded, pytest.raises(WasmCallError) as caught:
        loaded.call("f")
    return caught.value


def refusal(binary: bytes, limits: WasmLimits = LIMITS) -> WasmModuleError:
    with pytest.raises(WasmModuleError) as caught:
        WasmObject(binary, limits)
    assert caught.value.fix
    return caught.value


def test_the_module_of_the_page_writes_capitals() -> None:
    with WasmObject(UPPER, LIMITS) as upper:
        assert upper.methods == {"describe", "check", "run"}
        answer = upper.call("run", {}, {"text": 'hällo "you" \n'}, None)
        assert answer == {"text": 'HäLLO "YOU" \n'}
        assert upper.call_bytes("run", b'[{},{"t":"x"}]') == b'{"t":"X"}'


@given(st.text(alphabet=st.characters(codec="ascii"), max_size=300))
@settings(max_examples=50, deadline=None)
def test_any_ascii_text_comes_back_in_capitals(text: str) -> None:
    with WasmObject(UPPER, LIMITS) as upper:
        escaped = re.sub(r"[\x00-\x1f\"\\]", "", text)
        assert upper.call("run", {}, {"text": escaped}, None) == {"text": escaped.upper()}


def test_a_module_is_a_step_of_a_pipeline() -> None:
    with WasmObject(UPPER, LIMITS) as upper:
        contribution = Provides(point="step", contract=1, name="acme.upper", module="upper.wasm")
        kind = remote_step(upper, contribution)
        assert kind.outputs == {"text": "the text in capitals"}
        assert kind().run(text="hello") == {"text": "HELLO"}


def manifest_of(level: Level, *provides: Provides) -> Manifest:
    return Manifest(
        id="acme.upper",
        name="acme-upper",
        version="1.0",
        package="acme_upper",
        host_api=">=1.0,<2",
        isolation=level,
        provides=(
            Provides(point="step", contract=1, name="acme.upper", module="upper.wasm"),
            *provides,
        ),
    )


def test_a_plugin_of_one_module_keeps_the_contract_of_steps(tmp_path: Path) -> None:
    (tmp_path / "acme_upper").mkdir()
    (tmp_path / "acme_upper/upper.wasm").write_bytes(UPPER)
    manifest = manifest_of("L3")
    with PluginHost() as host:
        assert host.start(manifest, path=[tmp_path]).level == "L3"
        kind = STEPS.get("acme.upper")
        assert kind().run(text="hello") == {"text": "HELLO"}
        findings = list(POINTS.get("step").findings(lambda: kind))
    assert len(findings) > 5
    assert [each for each in findings if each.status == "fail"] == []
    assert "acme.upper" not in STEPS.names()


def test_calls_from_several_threads_do_not_meet() -> None:
    with WasmObject(UPPER, LIMITS) as upper, ThreadPoolExecutor(4) as pool:
        texts = [f"text {number}" for number in range(200)]
        answers = pool.map(lambda text: upper.call("run", {}, {"text": text}, None), texts)
        assert list(answers) == [{"text": text.upper()} for text in texts]


def test_nothing_stays_from_one_call_to_the_next() -> None:
    counting = """
      (i32.store (i32.const 0) (i32.add (i32.load (i32.const 0)) (i32.const 1)))
      (i32.store8 (i32.const 8) (i32.add (i32.const 48) (i32.load (i32.const 0))))
      (i64.const 0x0000000800000001)"""
    with WasmObject(module(counting), LIMITS) as counter:
        assert [counter.call("f") for _ in range(3)] == [1, 1, 1]


def test_equal_calls_use_equal_fuel() -> None:
    body = "(i64.store (i32.const 1024) (i64.const 49)) (i64.const 0x0000040000000001)"
    enough = next(
        fuel
        for fuel in range(1, 200)
        if _answers(module(body), WasmLimits(memory_bytes=MIB, fuel=fuel))
    )
    assert enough > 2
    for _ in range(5):
        assert _answers(module(body), WasmLimits(memory_bytes=MIB, fuel=enough))
        assert not _answers(module(body), WasmLimits(memory_bytes=MIB, fuel=enough - 1))


def _answers(binary: bytes, limits: WasmLimits) -> bool:
    with WasmObject(binary, limits) as loaded:
        try:
            return loaded.call("f") == 1
        except WasmCallError:
            return False


def test_an_endless_loop_ends_with_its_fuel() -> None:
    error = failure("(loop $on (br $on)) (i64.const 0)")
    assert "fuel" in error.problem
    assert "2000000" in str(error.got)


def test_an_endless_loop_ends_at_its_deadline() -> None:
    limits = WasmLimits(fuel=10**18, deadline_s=60.0)
    with WasmObject(module("(loop $on (br $on)) (i64.const 0)"), limits) as loop:
        with pytest.raises(PluginTimeoutError, match="longer than it may"):
            loop.call("f", timeout_s=0.05)
        with pytest.raises(PluginTimeoutError):
            loop.call("f", timeout_s=0.0)


def test_one_call_that_is_stopped_leaves_the_others_alone() -> None:
    body = "(loop $on (br_if $on (i32.eq (local.get 1) (i32.const 3)))) (i64.const 0x40000000001)"
    limits = WasmLimits(fuel=10**18, deadline_s=60.0)
    stopped = threading.Event()
    with WasmObject(module(body), limits) as both:

        def hang() -> None:
            with pytest.raises(PluginTimeoutError):
                both.call("f", 1, timeout_s=0.1)  # [1]: three bytes
            stopped.set()

        thread = threading.Thread(target=hang)
        thread.start()
        while not stopped.is_set():
            assert both.call_bytes("f", b"7", timeout_s=30.0) == b"7"
        thread.join()


def test_memory_does_not_grow_past_its_limit() -> None:
    grow = """
      (i32.store8 (i32.const 0) (i32.add (i32.const 49)
        (memory.grow (i32.const PAGES))))
      (i64.const 1)"""
    with WasmObject(module(grow.replace("PAGES", "63")), LIMITS) as fits:
        assert fits.call("f") == 2  # the old size was one page
    with WasmObject(module(grow.replace("PAGES", "64")), LIMITS) as too_much:
        assert too_much.call("f") == 0  # memory.grow answered -1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("unreachable", "unreachable"),
        ("(i64.load (i32.const -8))", "memory out of bounds"),
        ("(i64.div_u (i64.const 1) (i64.const 0))", "integer division by zero"),
        ("(call 1 (local.get 0) (local.get 1))", "stack overflow"),
    ],
)
def test_a_trap_is_told_by_its_kind(body: str, said: str) -> None:
    error = failure(body)
    assert "trapped" in error.problem
    assert error.got == said


@pytest.mark.parametrize(
    "packed", ["0x0000000000010001", "0x7fffffff00000001", "0x00000000fffffff0"]
)
def test_an_answer_outside_the_memory_is_an_error(packed: str) -> None:
    assert "outside its own memory" in failure(f"(i64.const {packed})").problem


def test_an_answer_over_the_limit_is_an_error() -> None:
    limits = WasmLimits(memory_bytes=MIB, answer_bytes=10)
    assert "too large" in failure("(i64.const 11)", limits).problem


@pytest.mark.parametrize("answer", ["", "{", "\\ff\\fe", "[" * 20_000])
def test_an_answer_that_is_no_json_is_an_error(answer: str) -> None:
    said = f'(data (i32.const 0) "{answer}")'
    size = len(answer.replace("\\ff\\fe", ".."))
    with (
        WasmObject(module(f"(i64.const {size})", HEAD + said), LIMITS) as loaded,
        pytest.raises(WasmCallError, match="no JSON"),
    ):
        loaded.call("f")


def test_room_outside_the_memory_is_an_error() -> None:
    head = HEAD.replace("1024", "65535")
    with WasmObject(module("(i64.const 0)", head), LIMITS) as loaded:
        assert loaded.call_bytes("f", b"x") == b""
        with pytest.raises(WasmCallError, match="given room outside"):
            loaded.call_bytes("f", b"xy")


def test_a_refusal_carries_its_message() -> None:
    said = '(data (i32.const 0) "no such word")'
    said += '(func (export "oag1_error") (result i64) (i64.const 12))'
    with WasmObject(module("(i64.const -1)", HEAD + said), LIMITS) as loaded:
        with pytest.raises(WasmCallError, match="refused") as caught:
            loaded.call("f")
        assert caught.value.got == "no such word"
    assert failure("(i64.const -1)").got is None


def test_a_stream_is_the_items_of_an_array() -> None:
    items = '(data (i32.const 0) "[1,2,3]")'
    with WasmObject(module("(i64.const 7)", HEAD + items), LIMITS) as loaded:
        assert list(loaded.stream("f")) == [1, 2, 3]
    number = '(data (i32.const 0) "5")'
    with (
        WasmObject(module("(i64.const 1)", HEAD + number), LIMITS) as loaded,
        pytest.raises(WasmCallError, match="no array"),
    ):
        list(loaded.stream("f"))


def test_arguments_are_json_in_order() -> None:
    with WasmObject(UPPER, LIMITS) as upper:
        with pytest.raises(WasmCallError, match="by name"):
            upper.call("run", text="x")
        with pytest.raises(WasmCallError, match="no JSON"):
            upper.call("run", object())
        with pytest.raises(WasmCallError, match="no method `walk`") as caught:
            upper.call("walk")
        assert "describe" in str(caught.value.got)


@pytest.mark.parametrize(
    ("binary", "said"),
    [
        (b"", "cannot be compiled"),
        (b"\x7fELF" + bytes(60), "cannot be compiled"),
        (b"\0asm\1\0\0\0", "exports no `memory`"),
        (UPPER[:-3], "cannot be compiled"),
        (assembled('(module (memory (export "memory") 1))'), "exports no `oag1_alloc`"),
        (module("(i64.const 0)", HEAD.replace("(param i32)", "(param i64)")), "no `oag1_alloc`"),
        (module("(i64.const 0)", HEAD.replace('"memory") 1', '"memory") 100')), "more memory"),
        (
            module("(i64.const 0)", '(import "env" "clock" (func))' + HEAD),
            "wants imports",
        ),
        (
            module(
                "(i64.const 0)", HEAD + '(func (export "oag1_error") (result i32) (i32.const 0))'
            ),
            "no `oag1_error`",
        ),
        (
            module("(i64.const 0)", HEAD.replace('"memory") 1', '"memory") 1 2 shared')),
            "cannot be compiled",
        ),
        (module("(i64.const 0)", HEAD + "(memory 1)"), "cannot be compiled"),
        (module("(i64.const 0)", HEAD.replace('"memory") 1', '"memory") i64 1')), "cannot be"),
    ],
)
def test_a_module_that_keeps_not_to_the_contract_is_refused(binary: bytes, said: str) -> None:
    assert said in refusal(binary).problem


def test_wasi_is_not_there() -> None:
    wants = (
        '(import "wasi_snapshot_preview1" "fd_write" (func (param i32 i32 i32 i32) (result i32)))'
    )
    error = refusal(module("(i64.const 0)", wants + HEAD))
    assert error.got == "wasi_snapshot_preview1.fd_write"


def test_a_module_over_the_limit_is_refused_before_it_is_compiled() -> None:
    error = refusal(bytes(100), WasmLimits(module_bytes=99))
    assert "too large" in error.problem


def test_a_closed_module_is_not_called() -> None:
    upper = WasmObject(UPPER, LIMITS)
    assert upper.call("check", {}) is None
    upper.close()
    with pytest.raises(WasmCallError, match="closed"):
        upper.call("check", {})


def test_a_start_function_is_bound_by_the_same_limits() -> None:
    head = HEAD + "(func $begin (loop $on (br $on))) (start $begin)"
    with (
        WasmObject(module("(i64.const 0)", head), LIMITS) as loaded,
        pytest.raises(WasmCallError, match="fuel"),
    ):
        loaded.call("f")


def test_tables_are_limited() -> None:
    head = HEAD + "(table 1000000 funcref)"
    with (
        WasmObject(module("(i64.const 0)", head), LIMITS) as loaded,
        pytest.raises(WasmCallError, match="failed"),
    ):
        loaded.call("f")


def test_limits_are_those_of_the_manifest() -> None:
    limits = WasmLimits.declared(Limits(memory_mb=100, call_timeout_s=2.5))
    assert (limits.memory_bytes, limits.deadline_s) == (100 * MIB, 2.5)


@given(place=st.integers(8, len(UPPER) - 1), byte=st.integers(0, 255), cut=st.booleans())
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_module_is_refused_or_stays_within_its_limits(
    place: int,
    byte: int,
    cut: bool,  # noqa: FBT001 - hypothesis passes by name
) -> None:
    damaged = UPPER[:place] + bytes([byte]) + (b"" if cut else UPPER[place + 1 :])
    try:
        with WasmObject(damaged, WasmLimits(memory_bytes=MIB, fuel=100_000)) as loaded:
            for method in sorted(loaded.methods):
                try:
                    loaded.call(method, {}, {"text": "x"}, None)
                except WasmCallError:
                    continue
    except WasmModuleError:
        pass


OTHER = """
from openautoglm.pipeline.step import Step

class Other(Step, frozen=True):
    'Do nothing.'
    outputs = {"text": "as it was"}

    def run(self, *, text: str) -> dict[str, object]:
        return {"text": text}
"""


def test_a_plugin_in_the_process_may_bring_a_module_too(tmp_path: Path) -> None:
    (tmp_path / "acme_upper").mkdir()
    (tmp_path / "acme_upper/upper.wasm").write_bytes(UPPER)
    (tmp_path / "acme_upper/__init__.py").write_text(OTHER)
    other = Provides(point="step", contract=1, name="acme.other", object="acme_upper:Other")
    here: tuple[Level, ...] = ("L0",)
    with PluginHost(levels=here) as host:
        host.start(manifest_of("L0", other), path=[tmp_path])
        assert STEPS.get("acme.upper")().run(text="hello") == {"text": "HELLO"}
        assert STEPS.get("acme.other")().run(text="hello") == {"text": "hello"}
