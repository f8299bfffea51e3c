from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from openautoglm.data import open_sink, open_source, writing
from openautoglm.data.batches import opening, requests
from openautoglm.errors import BadRowError, DataUrlError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GOOD = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {"model": "m"}}


def written(path: Path, *lines: Mapping[str, object]) -> str:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return f"openai-batch://{path}"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"custom_id": ""}, "`custom_id` is wrong"),
        ({"custom_id": 7}, "`custom_id` is wrong"),
        ({"method": "GET"}, "`method` is wrong"),
        ({"url": "https://host/v1/responses"}, "`url` is wrong"),
        ({"body": "text"}, "`body` is wrong"),
    ],
)
def test_a_line_that_is_no_request_is_a_bad_row(
    tmp_path: Path, wrong: Mapping[str, object], says: str
) -> None:
    url = written(tmp_path / "r.jsonl", {**GOOD, **wrong}, GOOD, {"method": "POST"})
    bad, good, last = open_source(url).read()
    assert bad.error is not None
    assert f"r.jsonl:1: this is no request: {says}" in bad.error.problem
    assert good.values["custom_id"] == "a"
    assert last.error is not None
    assert "`custom_id` is missing" in last.error.problem


@pytest.mark.parametrize(
    ("body", "prompt"),
    [
        (
            {"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]},
            "s\n\nu",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "u"}]}]}, "u"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, None),
        ({"messages": []}, None),
        ({"input": "text"}, "text"),
        ({"input": ["a", "b"]}, "a\n\nb"),
        ({"prompt": "text"}, "text"),
        ({"input": [1, 2]}, None),
        ({}, None),
    ],
)
def test_the_texts_of_a_request_are_a_column(
    tmp_path: Path, body: Mapping[str, object], prompt: str | None
) -> None:
    (record,) = open_source(written(tmp_path / "r.jsonl", {**GOOD, "body": body})).read()
    assert record.values == {**GOOD, "body": body, "prompt": prompt}


def test_files_of_any_size_are_read_and_larger_ones_than_openai_takes_refused_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = written(tmp_path / "r.jsonl", *[{**GOOD, "custom_id": str(n)} for n in range(5)])
    monkeypatch.setattr(opening, "MOST_REQUESTS", 4)
    assert sum(shard.rows or 0 for shard in open_source(url).shards(rows=2)) == 5
    with pytest.raises(DataUrlError, match=r"r\.jsonl.*\n.*more than 4 requests\n.*split"):
        list(open_source(f"{url}?limits=openai").shards(rows=2))
    monkeypatch.setattr(opening, "MOST_REQUESTS", 5)
    assert len(list(open_source(f"{url}?limits=openai").shards(rows=2))) == 3
    monkeypatch.setattr(requests, "MOST_BYTES", 100)
    with pytest.raises(DataUrlError, match="more than 100"):
        open_source(f"{url}?limits=openai")
    with pytest.raises(DataUrlError, match="limits=openai, or none"):
        open_source(f"{url}?limits=anthropic")


def answers(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_rows_become_the_lines_of_openais_output_files(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    given = {"status_code": 429, "request_id": "r", "body": {"error": "slow down"}}
    with writing(open_sink(f"openai-batch://{path}")) as sink:
        sink.write([{"key": "r.jsonl:1", "output": "Hello!"}, {"custom_id": "b", "n": 1, "t": "x"}])
        sink.write([{"custom_id": "c", "response": given}])
        sink.write([{"custom_id": "d", "error": {"code": "OAG405", "problem": "no answer"}}])
    text, both, own, failed = answers(path)
    assert list(text) == ["id", "custom_id", "response", "error"]
    assert text["custom_id"] == "r.jsonl:1"
    response = text["response"]
    assert isinstance(response, dict)
    assert response["status_code"] == 200
    assert response["body"]["object"] == "chat.completion"
    message = {"role": "assistant", "content": "Hello!"}
    assert response["body"]["choices"][0]["message"] == message
    assert '"n":1' in json.dumps(both, separators=(",", ":")).replace("\\", "")
    assert own["response"] == given
    assert failed["response"] is None
    assert failed["error"] == {"code": "OAG405", "message": "no answer"}


def test_writing_the_same_rows_again_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        with writing(open_sink(f"openai-batch://{tmp_path}/{name}.jsonl")) as sink:
            sink.write([{"custom_id": "x", "output": "请"}])
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


@pytest.mark.parametrize(
    "row", [{"text": "x"}, {"custom_id": None}, {"custom_id": ""}, {"key": 1.5}]
)
def test_a_row_that_answers_no_request_is_refused(tmp_path: Path, row: dict[str, object]) -> None:
    sink = open_sink(f"openai-batch://{tmp_path}/out.jsonl")
    with pytest.raises(BadRowError, match="which request it answers"):
        sink.write([{"custom_id": "ok", "t": ""}, row])
    sink.commit()
    assert answers(tmp_path / "out.jsonl") == []


def test_the_column_of_the_request_can_be_named(tmp_path: Path) -> None:
    with writing(open_sink(f"openai-batch://{tmp_path}/out.jsonl?id=review")) as sink:
        sink.write([{"review": 7, "key": "x"}])
    (line,) = answers(tmp_path / "out.jsonl")
    assert line["custom_id"] == "7"
    with pytest.raises(DataUrlError, match="did you mean `id`"):
        open_sink(f"openai-batch://{tmp_path}/out.jsonl?ids=review")
