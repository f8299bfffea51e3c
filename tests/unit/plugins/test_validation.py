"""A live object is asked for its name and its process, as the requirement's table has it."""

from __future__ import annotations

from openautoglm.plugins.report import PluginReport
from openautoglm.plugins.validation import ValidatePlugin, validate_plugin


class Named:
    name = "acme.upper"

    def process(self, text: str) -> str:
        return text.upper()


class Nameless:
    name = ""

    def process(self, text: str) -> str:
        return text


class WithoutProcess:
    name = "acme.upper"
    process = None


class Calling:
    def name(self) -> str:
        return "acme.calling"

    def process(self) -> None: ...


def messages(plugin: object) -> list[str]:
    return [finding.measured for finding in validate_plugin(plugin).failures]


def test_the_requirements_two_messages() -> None:
    assert messages(Nameless()) == ["plugin name cannot be empty"]
    assert messages(WithoutProcess()) == ["Process function not implemented"]
    assert messages(object()) == ["plugin name cannot be empty", "Process function not implemented"]


def test_what_has_both_is_well_and_a_name_may_be_a_method() -> None:
    assert ValidatePlugin(Named()).ok
    assert validate_plugin(Calling()).plugin == "acme.calling"


def test_a_report_comes_back_from_its_json_with_its_digest() -> None:
    report = validate_plugin(Nameless())
    again = PluginReport.from_json(report.to_json())
    assert again == report
    assert again.digest == report.digest
