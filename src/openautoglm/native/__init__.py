"""The compiled core: build, read and load kernel libraries, and the tables that calls go through.

Knows libraries and functions; knows nothing of operators.
"""
