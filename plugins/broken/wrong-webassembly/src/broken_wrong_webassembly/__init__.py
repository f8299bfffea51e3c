"""The package of a WebAssembly module."""
