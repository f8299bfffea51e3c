"""What each row asks, what happens where it does not hold, and the one thing to do about it.

Owns the wording of every static and dynamic row, so that a report and the manual cannot differ.
Knows nothing of how a row is answered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One row.

    Attributes:
        row: its dotted name.
        threshold: what has to be found.
        consequence: what happens to a user where it is not.
        fix: what to do, unless the place that asks knows better.
    """

    row: str
    threshold: str
    consequence: str
    fix: str


def _table(rows: Sequence[tuple[str, str, str, str]]) -> Mapping[str, Question]:
    return {
        row: Question(row=row, threshold=threshold, consequence=consequence, fix=fix)
        for row, threshold, consequence, fix in rows
    }


QUESTIONS: Final[Mapping[str, Question]] = _table(
    (
        (
            "static.manifest",
            "follows spec/plugin.schema.json",
            "the plugin cannot be packed, installed or found",
            "correct the key that is named",
        ),
        (
            "static.host-api",
            "the range holds this host's API",
            "the plugin is refused when it is loaded",
            "widen `host-api`, after reading what changed",
        ),
        (
            "static.python",
            "the range holds this Python",
            "pip refuses to install it here",
            "correct `requires-python`",
        ),
        (
            "static.peers.range",
            "the host has each peer, in the range",
            "the plugin meets a version it was not written for",
            "widen the range, or use the host that has such a version",
        ),
        (
            "static.peers.shared",
            "no copy of what the host has is carried along",
            "two copies of one package in a process: types differ that have one name",
            "take the copy out, and name the package under `peers`",
        ),
        (
            "static.dependencies.fit",
            "each is a name with a range, and not the host's to bring",
            "installing it fails, or brings a second copy of what the host has",
            "take it out of `dependencies`, and name it under `peers`",
        ),
        (
            "static.points",
            "the host has each point",
            "the contribution is never found",
            "name one of the host's extension points",
        ),
        (
            "static.contract",
            "the host knows the number of each contract",
            "the host would call methods that are not there",
            "write for a contract the host has",
        ),
        (
            "static.isolation",
            "every point can run at the level asked for",
            "the plugin cannot be started",
            "ask for a level the point has",
        ),
        (
            "static.source",
            "every Python file can be parsed",
            "importing the plugin raises SyntaxError",
            "correct the line that is named",
        ),
        (
            "static.object",
            "what `object`, `sources` and `module` name is there",
            "loading the contribution raises AttributeError or ModuleNotFoundError",
            "correct the name in the manifest, or define it",
        ),
        (
            "static.kind",
            "the object is what the point takes",
            "the host cannot make a contribution of it",
            "name the class or function that implements the point's protocol",
        ),
        (
            "static.protocol",
            "every method of the protocol, and parameters the host can pass",
            "the first call raises AttributeError or TypeError",
            "give the method the protocol's parameters; more of them need defaults",
        ),
        (
            "static.previous",
            "nothing public of the previous version is gone or asks for more",
            "code that works with the version before stops working",
            "keep the old name and parameters, or raise the major version",
        ),
        (
            "static.dependencies.missing",
            "what is imported is declared",
            "ModuleNotFoundError wherever somebody else did not install it by chance",
            "add it to `dependencies`, or to `peers` where the host has it",
        ),
        (
            "static.dependencies.transitive",
            "what is imported is declared by the plugin itself",
            "it breaks when a dependency stops needing the package",
            "declare the package that is imported",
        ),
        (
            "static.dependencies.unused",
            "what is declared is imported",
            "everybody installs, and watches for holes in, what nobody uses",
            "take it out of the project",
        ),
        (
            "static.dependencies.known-bad",
            "no dependency is in the advisories",
            "everybody who installs the plugin gets the hole",
            "ask for a version without it",
        ),
        (
            "static.shadowing",
            "no module of the plugin hides one of Python's or of the host",
            "other code in the process imports the plugin's file instead",
            "give the module another name, or move it into the plugin's package",
        ),
        (
            "static.imports",
            "importing defines things and does nothing else",
            "it happens in every process that loads the plugin, before anybody asked",
            "move it into a function that is called when it is needed",
        ),
        (
            "static.libraries",
            "loads here, runs nothing while loading, can be unloaded",
            "the worker crashes, or version 2 runs version 1's code",
            "build it on this machine with `oag op build`",
        ),
        (
            "static.wasm",
            "a valid WebAssembly module",
            "the plugin cannot be started",
            "compile it again",
        ),
        (
            "static.secrets",
            "no key, token or password in any file",
            "whoever has the wheel has the key",
            "take it out, revoke it, and read it from the environment",
        ),
        (
            "static.licence",
            "says under which licence it may be used",
            "nobody knows whether they may use it",
            'add license = "Apache-2.0", or another, to `[project]`',
        ),
        (
            "static.size",
            "at most 64 MiB",
            "every load reads and hashes all of it",
            "leave data out, and fetch it once on demand",
        ),
        (
            "trial.sandbox",
            "the plugin is run in the sandbox",
            "nothing is known of what it does; a check would have to run it unconfined",
            'check it where Landlock is, or pass isolation="L1" for code you trust',
        ),
        (
            "trial.load",
            "each contribution is imported and is what its point takes",
            "the plugin cannot be started",
            "correct what is said; the last line of the output names the place",
        ),
        (
            "trial.imports",
            "importing changes nothing of the process and nothing outside",
            "it happens in every process that loads the plugin, before anybody asked",
            "move it into a function that is called when it is needed",
        ),
        (
            "trial.calls",
            "a plain call is answered in time",
            "whoever calls it gets an error, or waits",
            "make the request that is named work",
        ),
        (
            "trial.requests",
            "a recorded request has the answer that was recorded",
            "what worked with the version before does not any more",
            "correct it, or record the new answer where the change is meant",
        ),
        (
            "trial.conformance",
            "the point's own suite holds",
            "the host meets what the contract rules out",
            "keep the point's contract",
        ),
        (
            "trial.determinism",
            "`idempotent = true`: a call made again has the same answer",
            "after a worker died the answer depends on which try came through",
            "make it depend on its arguments alone, or write idempotent = false",
        ),
        (
            "trial.bad-input",
            "a value it does not expect is an error, and the next call works",
            "one bad record takes the worker down, or becomes a wrong result",
            "raise an error for what it cannot take",
        ),
        (
            "trial.restart",
            "after its worker was killed a new one answers as before",
            "one crash ends the plugin for good",
            "leave nothing on disk that a new process stumbles over",
        ),
        (
            "trial.leftovers",
            "calls leave no descriptor and no thread behind",
            "the worker ends when it has none left",
            "close files in a `with`, and join threads",
        ),
        (
            "trial.memory",
            "memory in use does not grow with every call",
            "the worker is killed when its limit is reached",
            "let go of what a call made, or bound the cache",
        ),
        (
            "trial.threads",
            "calls at the same time have the answers they have alone",
            "one caller gets what belongs to another",
            "keep what belongs to a call in its local variables, or take a lock",
        ),
        (
            "trial.cancel",
            "a stream ends when its reader goes, and the next one works",
            "a worker goes on computing for nobody",
            "stop at the next value when the iterator is closed",
        ),
        (
            "trial.latency",
            "P95 < 100 ms, the machine's own noise taken off",
            "everything that waits for it is slow",
            "do less in a call, or load what is slow once",
        ),
    )
)
"""Every row by its name, in the order of asking."""
