"""Relative paths of this machine are counted from a folder; everything else stays as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from openautoglm.data.anchor import anchored


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("a.jsonl", "/d/e f/a.jsonl"),
        ("./a.jsonl", "/d/e f/a.jsonl"),
        ("a/", "/d/e f/a/"),
        ("/a.jsonl", "/a.jsonl"),
        ("/a/", "/a/"),
        ("/", "/"),
        ("jsonl+file://a%20b.jsonl?x=1", "jsonl+file:///d/e%20f/a%20b.jsonl?x=1"),
        ("JSONL://a", "JSONL:///d/e%20f/a"),
        ("hf://reviews?split=train", "hf:///d/e%20f/reviews?split=train"),
        ("openai-batch://a.jsonl", "openai-batch:///d/e%20f/a.jsonl"),
        ("folder://mails/", "folder:///d/e%20f/mails/"),
        ("jsonl+file:///a", "jsonl+file:///a"),
        ("sqlite:///a.db?table=t", "sqlite:////d/e%20f/a.db?table=t"),
        ("sqlite:////a.db?table=t", "sqlite:////a.db?table=t"),
        ("sqlite:///?table=t", "sqlite:///?table=t"),
        ("csv+s3://bucket/a", "csv+s3://bucket/a"),
        ("https://host/a.csv", "https://host/a.csv"),
        ("postgresql://host/db?table=t", "postgresql://host/db?table=t"),
        ("memory://name", "memory://name"),
        ("acme.words://name", "acme.words://name"),
        ("", ""),
    ],
)
def test_only_relative_paths_of_this_machine_are_anchored(url: str, whole: str) -> None:
    assert anchored(url, Path("/d/e f")) == whole
    assert anchored(whole, Path("/elsewhere")) == whole
