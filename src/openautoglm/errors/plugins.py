"""Errors of making, checking, running and replacing plugins: OAG721 to OAG799."""

from __future__ import annotations

from openautoglm.errors.base import OpenAutoGLMError


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


class PluginCrashedError(OpenAutoGLMError, RuntimeError):
    """A plugin's worker died in a call that is not made again; the message says what is known.

    Attributes:
        may_pass: true: another worker takes its place, and not every row kills it.
    """

    code = "OAG731"
    may_pass = True


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
