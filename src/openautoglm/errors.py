"""Every error the framework raises on purpose: a stable code, the problem, what we got, the fix.

A closed set: `spec/errors.toml` lists the same codes and a contract test holds the two equal.
Knows nothing of the modules that raise.
"""

from __future__ import annotations

from typing import ClassVar


class OpenAutoGLMError(Exception):
    """Carry one problem to the person who can fix it.

    Attributes:
        problem: what is wrong; lower case, no full stop.
        got: what was found instead, or None.
        fix: what to do about it, or None.

    Example:
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


# 1xx: prompts
class TemplateSyntaxError(OpenAutoGLMError, ValueError):
    """A template's text cannot be read; the message names line, column and the fix."""

    code = "OAG101"


class TemplateVariableError(OpenAutoGLMError, ValueError):
    """The variables declared and the variables used differ."""

    code = "OAG102"


class TemplateValueError(OpenAutoGLMError, ValueError):
    """`format` lacks a variable, got one too many, or a value of a wrong type."""

    code = "OAG103"


class PromptNotFoundError(OpenAutoGLMError, LookupError):
    """The prompt store holds no such prompt, version or alias."""

    code = "OAG110"


class PromptStoreError(OpenAutoGLMError, ValueError):
    """A prompt file cannot be read, was edited behind the store, or would lose a version."""

    code = "OAG111"


# 2xx: operators and kernel libraries
class NoKernelError(OpenAutoGLMError, NotImplementedError):
    """No kernel of an operator takes this call; the message says why each one refused."""

    code = "OAG201"


class OperatorArgumentError(OpenAutoGLMError, ValueError, TypeError):
    """An argument of an operator has a wrong type, dtype, shape or value."""

    code = "OAG202"


class OperatorDefinitionError(OpenAutoGLMError, ValueError):
    """The definition of an operator or of a kernel contradicts itself or its contract."""

    code = "OAG203"


class KernelFailedError(OpenAutoGLMError, RuntimeError):
    """A kernel raised, or returned what its contract does not allow."""

    code = "OAG204"


class LibraryRefusedError(OpenAutoGLMError, RuntimeError):
    """A kernel library was refused before any of its code could do harm."""

    code = "OAG205"


class BuildFailedError(OpenAutoGLMError, RuntimeError):
    """The compiler is missing or did not accept the source."""

    code = "OAG206"


class TransformUnsupportedError(OpenAutoGLMError, NotImplementedError):
    """A functional transform of torch cannot go through this operator."""

    code = "OAG207"


class CheckFailedError(OpenAutoGLMError, AssertionError):
    """An operator does not keep its contract; the report names the smallest input that shows it."""

    code = "OAG208"


# 3xx: models and generation
class ModelNotFoundError(OpenAutoGLMError, FileNotFoundError):
    """Neither a folder nor a model name that can be resolved."""

    code = "OAG301"


class ModelFolderError(OpenAutoGLMError, ValueError):
    """The folder is there but is not a whole model."""

    code = "OAG302"


class WeightsCorruptError(OpenAutoGLMError, ValueError):
    """A weights file is truncated, damaged or disagrees with its own header."""

    code = "OAG303"


class UnsafeWeightsError(OpenAutoGLMError, ValueError):
    """A weights file carries code; it was not executed."""

    code = "OAG304"


class UnknownArchitectureError(OpenAutoGLMError, ValueError):
    """No backend can run this architecture."""

    code = "OAG305"


class ModelTooLargeError(OpenAutoGLMError, MemoryError):
    """The weights would not fit the memory that is free; nothing was loaded."""

    code = "OAG306"


class BackendUnavailableError(OpenAutoGLMError, RuntimeError):
    """The backend cannot run on this machine as it is."""

    code = "OAG307"


class BackendRequestError(OpenAutoGLMError, RuntimeError):
    """A remote model answered with an error, with garbage, or not at all."""

    code = "OAG308"


class EngineClosedError(OpenAutoGLMError, RuntimeError):
    """The engine was used after `close`."""

    code = "OAG309"


class InvalidParameterError(OpenAutoGLMError, ValueError):
    """A parameter is outside its range or of a wrong type."""

    code = "OAG310"


class InvalidPromptError(OpenAutoGLMError, ValueError):
    """The prompt is empty, malformed, or longer than the model's context."""

    code = "OAG311"


class SchemaError(OpenAutoGLMError, ValueError):
    """A JSON schema is invalid, impossible, or asks for what decoding cannot enforce."""

    code = "OAG312"


class OutputParseError(OpenAutoGLMError, ValueError):
    """A model's output does not match what was asked of it."""

    code = "OAG313"


# 4xx: pipelines
class PipelineSyntaxError(OpenAutoGLMError, ValueError):
    """A pipeline file cannot be read; the message names file, line and the fix."""

    code = "OAG401"


class PipelineGraphError(OpenAutoGLMError, ValueError):
    """The components do not form a graph that can run: a cycle, a missing or a wrong connection."""

    code = "OAG402"


class StepError(OpenAutoGLMError, RuntimeError):
    """A step failed on a record; the message names both."""

    code = "OAG403"


# 5xx: files and platforms
class InputNotFoundError(OpenAutoGLMError, FileNotFoundError):
    """An input file is not there or cannot be opened."""

    code = "OAG501"


class InputDecodeError(OpenAutoGLMError, ValueError):
    """An input is not the text it should be; the message names the byte offset."""

    code = "OAG502"


class OutputWriteError(OpenAutoGLMError, OSError):
    """A result could not be written (disk full, no permission); what was written before is kept."""

    code = "OAG503"


class PlatformError(OpenAutoGLMError, OSError):
    """The platform this runs on cannot do what was asked of it."""

    code = "OAG504"


class DataUrlError(OpenAutoGLMError, ValueError):
    """A URL of a source or sink cannot be understood, or no kind of data has its scheme."""

    code = "OAG506"


class BadRowError(OpenAutoGLMError, ValueError):
    """A row of a source cannot be read; the message names the row."""

    code = "OAG507"


class SourceChangedError(OpenAutoGLMError, ValueError):
    """A source no longer holds what a position or a shard of it was made for."""

    code = "OAG508"


class SinkConflictError(OpenAutoGLMError, RuntimeError):
    """A sink was written after its end, or another attempt of the same part was committed first."""

    code = "OAG509"


# 6xx: the house
class UnknownNameError(OpenAutoGLMError, LookupError):
    """A registry holds no entry of that name."""

    code = "OAG601"


class NameTakenError(OpenAutoGLMError, ValueError):
    """A registry holds an entry of that name already."""

    code = "OAG602"


class NoOwnerError(OpenAutoGLMError, RuntimeError):
    """An entry was added outside `owned_by`."""

    code = "OAG603"


class MissingExtraError(OpenAutoGLMError, ImportError):
    """An optional package is not installed; the message names the extra."""

    code = "OAG604"


# 71x: policy and signing
class PolicyError(OpenAutoGLMError, RuntimeError):
    """Rules cannot be read or compiled, or gave no result; file and line are named where known."""

    code = "OAG711"


class PolicyInputError(OpenAutoGLMError, ValueError):
    """The input of a decision is too large, too deep, or no JSON."""

    code = "OAG712"


class PolicyTimeoutError(PolicyError, TimeoutError):
    """The rules did not come to a decision in time."""

    code = "OAG713"


class SigningKeyError(OpenAutoGLMError, ValueError):
    """A signing key cannot be made, read, or used for this."""

    code = "OAG715"


class KeyringError(OpenAutoGLMError, ValueError):
    """A keyring cannot be read, or what it should hold contradicts itself."""

    code = "OAG716"


class PackageRefusedError(OpenAutoGLMError, ValueError):
    """A package is not a whole and plain wheel; nothing of it was unpacked."""

    code = "OAG717"


class SignatureError(OpenAutoGLMError, ValueError):
    """A signature file cannot be read, or does not belong to the package."""

    code = "OAG718"


class ContentStoreError(OpenAutoGLMError, RuntimeError):
    """Stored content is not what was put there, or was never verified."""

    code = "OAG719"


# 72x: plugins: manifest, project, inventory
class PluginManifestError(OpenAutoGLMError, ValueError):
    """A plugin's manifest cannot be read or contradicts itself; the message names file and key."""

    code = "OAG721"


class PluginPeerError(OpenAutoGLMError, ValueError):
    """A plugin wants another host API or package than the host has, or brings its own copy."""

    code = "OAG722"


class PluginProjectError(OpenAutoGLMError, ValueError):
    """A plugin's project cannot be made, packed or watched as it is."""

    code = "OAG723"


class PluginPackageError(OpenAutoGLMError, ValueError):
    """A plugin's wheel is damaged, incomplete, or differs from what it says of itself."""

    code = "OAG724"


class PluginNotFoundError(OpenAutoGLMError, LookupError):
    """No plugin of that id, or not in that version, is installed."""

    code = "OAG725"


class PluginConflictError(OpenAutoGLMError, ValueError):
    """Two plugins cannot be enabled together; the message names both sides."""

    code = "OAG726"


class PluginStoreError(OpenAutoGLMError, OSError):
    """The store of plugins cannot be read, written or locked; what was there before is kept."""

    code = "OAG727"


class PluginContributionError(OpenAutoGLMError, TypeError):
    """What a plugin contributes is not what its extension point takes."""

    code = "OAG728"


class PluginLoadError(OpenAutoGLMError, RuntimeError):
    """A plugin cannot be loaded into this process; nothing of it stays."""

    code = "OAG729"


# 731-736: running plugins
class PluginCrashedError(OpenAutoGLMError, RuntimeError):
    """A plugin's worker died in a call that is not made again; the message says what is known."""

    code = "OAG731"


class PluginTimeoutError(OpenAutoGLMError, TimeoutError):
    """A call into a plugin had no answer in time, or was cancelled."""

    code = "OAG732"


class PluginUnavailableError(OpenAutoGLMError, RuntimeError):
    """A plugin did not start, was refused or stopped, or is quarantined after a crash loop."""

    code = "OAG733"


class PluginCallError(OpenAutoGLMError, RuntimeError):
    """The code of a plugin raised; the message carries what and where."""

    code = "OAG734"


class PluginProtocolError(OpenAutoGLMError, ValueError):
    """A value cannot cross to a plugin, or a worker answered with what is no answer."""

    code = "OAG735"


class SharedTensorError(OpenAutoGLMError, LookupError):
    """A tensor in shared memory is stale, forged or of a wrong kind, or there is no room for it."""

    code = "OAG736"


# 7xx: plugins; 701 to 709: the bus
class MessageError(OpenAutoGLMError, ValueError):
    """A message, a type, a pattern or a permission is not well formed."""

    code = "OAG701"


class SourceForgedError(OpenAutoGLMError, PermissionError):
    """A message claims a source that is not its channel's."""

    code = "OAG702"


class BusDeniedError(OpenAutoGLMError, PermissionError):
    """No permission allows this source to do this with this type."""

    code = "OAG703"


class NoResponderError(OpenAutoGLMError, LookupError):
    """Nobody answers requests of this type."""

    code = "OAG704"


class DeadlineExceededError(OpenAutoGLMError, TimeoutError):
    """No reply came before the deadline."""

    code = "OAG705"


class RespondFailedError(OpenAutoGLMError, RuntimeError):
    """Who answers requests of this type failed, or has too many of them."""

    code = "OAG706"


class BusClosedError(OpenAutoGLMError, RuntimeError):
    """The bus, a channel or an outbox was used after `close`."""

    code = "OAG707"


class OutboxError(OpenAutoGLMError, OSError):
    """A durable message could not be stored or fetched; nothing was lost silently."""

    code = "OAG708"


class AuditBrokenError(OpenAutoGLMError, ValueError):
    """An audit log was altered, or another process writes it."""

    code = "OAG709"


class SandboxUnavailableError(OpenAutoGLMError, RuntimeError):
    """This machine or process cannot be confined as asked; nothing weaker was used instead."""

    code = "OAG737"


class WasmModuleError(OpenAutoGLMError, ValueError):
    """A WASM module is malformed, wants imports, or lacks what the host calls."""

    code = "OAG738"


class WasmCallError(OpenAutoGLMError, RuntimeError):
    """A call into a WASM module trapped, or ran out of fuel, time or memory."""

    code = "OAG739"


class PluginCheckError(OpenAutoGLMError, ValueError):
    """A plugin cannot be checked as it was asked; nothing is known of the plugin by that."""

    code = "OAG741"


class PluginBusyError(OpenAutoGLMError, RuntimeError):
    """Another replacement of this plugin is under way."""

    code = "OAG745"


class PluginReplaceError(OpenAutoGLMError, ValueError):
    """A plugin cannot be replaced in this way; nothing was changed."""

    code = "OAG746"


class PluginLifeError(OpenAutoGLMError, RuntimeError):
    """A version of a plugin cannot go from its state to that one."""

    code = "OAG747"
