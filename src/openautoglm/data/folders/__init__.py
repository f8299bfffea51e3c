"""Folders of texts or images as rows, one a file: `folder:///data/letters?pattern=**/*.txt`."""

from openautoglm.data.folders.source import open_folder

__all__ = ["open_folder"]
