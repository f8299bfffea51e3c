"""Run every block of one Markdown page in order, as a reader would type it.

`python` blocks share one namespace, `pycon` blocks are doctests, in `console` blocks every `$ `
line is run by bash and what stands under it must come out (`...` matches anything). `yaml` blocks
that name `components:` must load as pipelines, jobs and schedules must follow the schema of their
kind, `json` and `toml` blocks must parse.

Usage: python document_runner.py PAGE.md   (in the folder the commands should run in)
"""

from __future__ import annotations

import doctest
import json
import re
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path

FENCE = re.compile(
    r"^(?P<indent> *)```(?P<kind>\w+)[^\n]*\n(?P<body>.*?)^(?P=indent)```",
    re.MULTILINE | re.DOTALL,
)
COMMAND_TIMEOUT_S = 240
SHOWN = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def main(page: Path) -> None:
    """Run the blocks of `page`; the first that fails ends the run with its line."""
    text = page.read_text(encoding="utf-8")
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in FENCE.finditer(text):
        line = text.count("\n", 0, block.start()) + 2
        body = textwrap.dedent(block["body"])
        print(f"-- {page.name}:{line} {block['kind']}", flush=True)
        match block["kind"]:
            case "python":
                code = compile("\n" * (line - 1) + body, str(page), "exec", dont_inherit=True)
                exec(code, namespace)  # noqa: S102 - the page's own code is what is tested
            case "pycon":
                run_doctest(body, namespace, page, line)
            case "console":
                run_console(body)
            case "yaml":
                load_yaml(body)
            case "json":
                json.loads(body)
            case "toml":
                tomllib.loads(body)
            case _:
                pass


def run_doctest(body: str, namespace: dict[str, object], page: Path, line: int) -> None:
    """Run `>>>` lines and compare what they print."""
    test = doctest.DocTestParser().get_doctest(body, namespace, page.name, str(page), line - 1)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    runner.run(test, clear_globs=False)
    namespace.update(test.globs)
    if runner.failures:
        raise SystemExit(f"{runner.failures} lines of the block print something else")


def run_console(body: str) -> None:
    """Run each `$ ` command and compare its output when the page shows one."""
    for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
        lines = part.split("\n")
        count = 1
        while lines[count - 1].endswith("\\"):
            count += 1
        command, shown = "\n".join(lines[:count]), "\n".join(lines[count:]).strip("\n")
        done = subprocess.run(
            ["bash", "-c", command],  # noqa: S607 - bash is on PATH
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        print(done.stdout, flush=True)
        expects_failure = re.search(r"# exit (\d+)$", command)
        wanted = int(expects_failure[1]) if expects_failure else 0
        if done.returncode != wanted:
            raise SystemExit(f"`{command}` ended with {done.returncode}, not {wanted}")
        same = doctest.OutputChecker().check_output
        if shown and not same(f"{shown}\n", done.stdout.strip("\n") + "\n", SHOWN):
            raise SystemExit(f"`{command}` printed something else than the page shows:\n{shown}")


def load_yaml(body: str) -> None:
    """Load the block: a pipeline that could run, a job or schedule that follows its schema."""
    import yaml

    document = yaml.safe_load(body)
    if isinstance(document, dict) and "components" in document:
        from openautoglm import Pipeline

        Pipeline.from_yaml(body)
    if isinstance(document, dict) and document.get("apiVersion") == "openautoglm/v1":
        import jsonschema

        schema = Path(f"spec/{document['kind'].lower()}.schema.json")
        jsonschema.validate(document, json.loads(schema.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
