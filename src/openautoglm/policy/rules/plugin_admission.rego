# Which plugin may run, at which level of isolation.
#
# The input is what `openautoglm.policy.admission.admission_input` makes:
#   manifest   id, version, isolation, permissions (and whatever else a manifest has)
#   signature  state: trusted | untrusted | unsigned | refused; reasons
#   report     null, or ok, plugin, version; profile: static | quick | full; digest; signed: whether
#              a trusted key stands for it; failed, warned: rows
#   requested  isolation: L0 | L1 | L2 | L3; switches: ["unsigned-in-process", "downgrade"]
#   installed  is_downgrade: whether a higher version was seen or installed before
#   host       sandbox, wasm: what this machine can do
#
# Every rule that denies asks for the good case and denies all else, so that a field that is
# missing denies too. The lists are in data.json.
package plugin.admission

import rego.v1

default allow := false

allow if {
	well_formed
	count(deny) == 0
}

strength := {"auto": 0, "L0": 0, "L1": 1, "L2": 2, "L3": 3}

well_formed if {
	regex.match(`^[a-z0-9][a-z0-9-]*([.][a-z0-9][a-z0-9-]*)*$`, input.manifest.id)
	is_string(input.manifest.version)
	is_array(input.manifest.permissions)
}

deny contains "the manifest has no id, version or permissions" if not well_formed

# Signatures

trusted if input.signature.state == "trusted"

known_signature if input.signature.state in {"trusted", "untrusted", "unsigned"}

deny contains "the signature is refused: the package is not what was signed, or the key no longer counts" if {
	not known_signature
}

deny contains msg if {
	not known_signature
	some reason in input.signature.reasons
	msg := sprintf("the signature: %v: %v", [reason.code, reason.detail])
}

contained if input.requested.isolation in {"L2", "L3"}

switched_on(name) if name in input.requested.switches

deny contains msg if {
	not trusted
	not contained
	not switched_on("unsigned-in-process")
	msg := "without a trusted signature a plugin runs at L2 or L3 only"
}

# Isolation

known_level if input.requested.isolation in {"L0", "L1", "L2", "L3"}

deny contains "the requested isolation is none of L0, L1, L2, L3" if not known_level

strong_enough if strength[input.requested.isolation] >= strength[input.manifest.isolation]

deny contains "the manifest asks for stronger isolation than requested" if not strong_enough

can_contain if not contained

can_contain if {
	input.requested.isolation == "L2"
	input.host.sandbox == true
}

can_contain if {
	input.requested.isolation == "L3"
	input.host.wasm == true
}

deny contains "this machine cannot contain a plugin at the requested isolation" if not can_contain

# The check report

report_needed if data.plugin.require_report == true

report_needed if data.plugin.require_signed_report == true

deny contains "there is no check report, and one is required" if {
	report_needed
	input.report == null
}

report_is_fine if input.report == null

report_is_fine if {
	input.report.ok == true
	input.report.plugin == input.manifest.id
	input.report.version == input.manifest.version
}

deny contains "the check report fails, is missing, or is about another plugin" if not report_is_fine

report_was_run if not report_needed

report_was_run if input.report.profile in {"quick", "full"}

deny contains "a check that ran the plugin is required" if {
	input.report != null
	not report_was_run
}

report_signed if not data.plugin.require_signed_report == true

report_signed if {
	trusted
	input.report.signed == true
}

deny contains "a check report that a trusted key stands for is required" if not report_signed

# Ids

banned if {
	some pattern in data.plugin.banned
	well_formed
	covers(pattern, input.manifest.id)
}

deny contains "the id is banned" if banned

vendor := split(input.manifest.id, ".")[0] if well_formed

reserved if vendor in data.plugin.reserved

deny contains "the id is reserved: only a trusted signature may carry it" if {
	reserved
	not trusted
}

# Versions

version_is_fine if input.installed.is_downgrade == false

version_is_fine if switched_on("downgrade")

deny contains "a higher version of this plugin was seen before" if not version_is_fine

deny contains "an older version than one before is not allowed here" if {
	data.plugin.allow_downgrade == false
	not input.installed.is_downgrade == false
}

# Permissions

acceptable(permission) if {
	is_string(permission)
	permitted(permission)
}

permitted(permission) if {
	some pattern in data.plugin.permissions
	covers(pattern, permission)
}

permitted(permission) if {
	trusted
	some pattern in data.plugin.permissions_if_trusted
	covers(pattern, permission)
}

permitted(permission) if {
	some verb in {"emit:", "subscribe:", "call:"}
	startswith(permission, concat("", [verb, vendor, "."]))
}

deny contains msg if {
	some permission in input.manifest.permissions
	not acceptable(permission)
	msg := sprintf("the permission `%v` is not allowed", [permission])
}

# A pattern is a text, or the beginning of one and a star; a permission may itself end in a star.
covers(pattern, text) if pattern == text

covers(pattern, text) if {
	endswith(pattern, "*")
	startswith(text, trim_suffix(pattern, "*"))
}
