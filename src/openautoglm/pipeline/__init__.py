"""Raw text to structured result: a graph of named steps, as YAML or Python."""
