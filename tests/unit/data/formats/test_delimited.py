from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openautoglm.data import open_sink, open_source, writing
from openautoglm.data.formats import lines, records
from openautoglm.errors import BadRowError, DataUrlError, InputDecodeError

if TYPE_CHECKING:
    from pathlib import Path

    from openautoglm.data import Record

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(content: str) -> str:
        (tmp_path / "a.csv").write_bytes(content.encode())
        return f"csv+file://{tmp_path}/a.csv"

    return written


def values(url: str, **options: str) -> list[object]:
    records_ = open_source(url, **options).read()
    return [dict(r.values) if r.error is None else type(r.error) for r in records_]


def bad(url: str, **options: str) -> Record:
    return next(r for r in open_source(url, **options).read() if r.error is not None)


def test_cells_are_texts_and_quotes_hold_delimiters_line_breaks_and_quotes(write: Write) -> None:
    url = write('\ufeffid,text\r\n007,"a, ""b""\r\nc"\r\n\r\n8,\r\n')
    records_ = list(open_source(url).read())
    assert [r.values for r in records_] == [
        {"id": "007", "text": 'a, "b"\r\nc'},
        {"id": "8", "text": ""},
    ]
    assert [r.key for r in records_] == ["a.csv:2", "a.csv:5"]


def test_columns_are_described_with_the_kinds_that_were_declared(write: Write) -> None:
    url = write("id,text,tags\n1,a,[1]\n")
    described = open_source(url, types="id:integer,tags:list").describe()
    columns = [(c.name, c.kind, c.nullable) for c in described.columns]
    assert columns == [("id", "integer", True), ("text", "text", False), ("tags", "list", True)]
    assert not described.is_sampled


def test_declared_kinds_are_read_and_empty_cells_are_null_but_for_texts(write: Write) -> None:
    url = write('n,x,b,l,t\n1,.5,TRUE,"[1,{""a"":null}]",\n,,,,\n-7,1e3,0,[],x\n')
    types = "n:integer,x:number,b:boolean,l:list"
    assert values(url, types=types) == [
        {"n": 1, "x": 0.5, "b": True, "l": [1, {"a": None}], "t": ""},
        {"n": None, "x": None, "b": None, "l": None, "t": ""},
        {"n": -7, "x": 1000.0, "b": False, "l": [], "t": "x"},
    ]


def test_kinds_are_guessed_where_that_is_asked_for(write: Write) -> None:
    url = write("id,zip,x,b,t\n1,01,0.5,true,a\n2,02,1,false,\nz,03,1,false,\n")
    guessed = open_source(write("id,zip,x,b,t\n1,01,0.5,true,a\n2,02,1,false,\n"), types="infer")
    kinds = [column.kind for column in guessed.describe().columns]
    assert kinds == ["integer", "text", "number", "boolean", "text"]
    assert [r.values["zip"] for r in guessed.read()] == ["01", "02"]
    assert open_source(url).describe().columns[0].kind == "text"


@pytest.mark.parametrize(
    ("cell", "kind", "says"),
    [
        ("x", "integer", "no integer"),
        ("1_0", "integer", "no integer"),
        ("1.5", "integer", "no integer"),
        ("nan", "number", "no number"),
        ("1e999", "number", "no finite number"),
        ("maybe", "boolean", "neither true nor false"),
        ("{", "any", "no JSON"),
        ("{}", "list", "no list"),
    ],
)
def test_a_cell_of_another_kind_is_a_bad_row_that_names_the_column(
    write: Write, cell: str, kind: str, says: str
) -> None:
    url = write(f"a,b\n1,{cell}\n2,\n")
    error = bad(url, types=f"b:{kind}").error
    assert error is not None
    assert "a.csv:2: column `b`" in error.problem
    assert says in error.problem
    assert len(values(url, types=f"b:{kind}")) == 2


@pytest.mark.parametrize(
    ("middle", "says", "behind"),
    [
        ("1,2,3", "3 cells, but 2 columns", 1),
        ("1", "1 cells, but 2 columns", 1),
        ('"x"y,2', "no CSV", 1),
        ("a\rb,2", "carriage return", 1),
        ('"never ends,2', "never ends", 1),
        ('"never ends\nsecond,line', "never ends", 2),
    ],
)
def test_a_damaged_record_is_a_bad_row_and_the_rows_behind_it_follow(
    write: Write, middle: str, says: str, behind: int
) -> None:
    url = write(f"a,b\n0,0\n{middle}\n9,9\n")
    found = list(open_source(url).read())
    assert [r.values for r in found if r.error is None][-1] == {"a": "9", "b": "9"}
    assert len(found) == 2 + behind
    assert found[1].error is not None
    assert says in found[1].error.problem
    assert found[1].key == "a.csv:3"
    assert found[1].error.fix


def test_bytes_that_are_no_utf_8_are_a_bad_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b'a,b\n1,"\xff\n"\n2,x\n')
    assert values(str(tmp_path / "a.csv")) == [BadRowError, {"a": "2", "b": "x"}]
    assert "not UTF-8" in str(bad(str(tmp_path / "a.csv")).error)


def test_a_record_without_end_costs_no_memory_and_one_row(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_ROW_BYTES", 30)
    monkeypatch.setattr(records, "MAX_ROW_BYTES", 30)
    url = write('a,b\n"1\n2,2\n3,3\n4,4\n5,5\n6,6\n7,7\n8,8\n9,"9"\n' + "x" * 50 + "\n10,10\n")
    found = values(url)
    assert found[0] is BadRowError
    assert found[1:9] == [{"a": str(n), "b": str(n)} for n in range(2, 10)]
    assert found[9:] == [BadRowError, {"a": "10", "b": "10"}]


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        ("a,b,a\n", {}, "column `a` twice"),
        ("a,b\n", {"types": "c:integer"}, "no column `c`"),
        ('"a\nb', {}, "no names of columns"),
    ],
)
def test_a_file_with_a_bad_header_is_refused(
    write: Write, content: str, options: dict[str, str], says: str
) -> None:
    with pytest.raises(InputDecodeError, match="OAG502") as caught:
        open_source(write(content), **options).describe()
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"encoding": "latin-1"}, "iconv"),
        ({"delimiter": ";;"}, "one character"),
        ({"delimiter": '"'}, "one character"),
        ({"types": "a:int"}, "did you mean `integer`"),
        ({"types": "a"}, "kinds by column"),
        ({"separator": ";"}, "no option `separator`"),
    ],
)
def test_options_that_mean_nothing_are_refused(
    write: Write, options: dict[str, str], says: str
) -> None:
    with pytest.raises(DataUrlError) as caught:
        open_source(write("a\n"), **options)
    assert says in str(caught.value)


def test_delimiters_and_names_can_be_said(tmp_path: Path, write: Write) -> None:
    url = write("1;x,y\n2;z\n")
    expected = [{"id": "1", "t": "x,y"}, {"id": "2", "t": "z"}]
    assert values(url + "?delimiter=;&header=id,t") == expected
    (tmp_path / "a.tsv").write_text("id\tt\n1\tx,y\n")
    assert values(str(tmp_path / "a.tsv")) == expected[:1]
    with writing(open_sink(tmp_path / "b.tsv")) as sink:
        sink.write(expected)
    assert values(str(tmp_path / "b.tsv")) == expected


def test_a_table_without_rows_or_without_anything_has_none(write: Write) -> None:
    for content in ("", "a,b\n", "\n\na,b"):
        source = open_source(write(content))
        assert list(source.read()) == []
        assert len(list(source.shards(rows=2))) == 1


CELLS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)


@settings(max_examples=50)
@given(
    rows=st.lists(st.fixed_dictionaries({"a": CELLS, 'b, "c"': CELLS}), max_size=12),
    size=st.integers(1, 5),
)
def test_what_is_written_is_read_back_whole_in_shards_and_from_any_row(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, str]], size: int
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    with writing(open_sink(path)) as sink:
        sink.write(rows)
    source = open_source(path)
    found = list(source.read())
    assert [r.values for r in found] == rows
    in_shards = [r for shard in source.shards(rows=size) for r in source.read(shard)]
    assert in_shards == found
    for number, record in enumerate(found):
        rest = list(source.read(resume_from=record.position))
        assert rest == found[number + 1 :]


@settings(max_examples=50)
@given(content=st.text(st.sampled_from('a1,"\n\r'), max_size=30), size=st.integers(1, 4))
def test_whatever_a_file_holds_shards_are_the_whole(
    tmp_path_factory: pytest.TempPathFactory, content: str, size: int
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(("x,y\n" + content).encode())
    source = open_source(path)
    whole = [(r.key, r.position, dict(r.values)) for r in source.read()]
    shards = list(source.shards(rows=size))
    in_shards = [r for shard in shards for r in source.read(shard)]
    assert [(r.key, r.position, dict(r.values)) for r in in_shards] == whole
    assert sum(shard.rows or 0 for shard in shards) == len(whole)
    for number, (_, position, _) in enumerate(whole):
        rest = source.read(resume_from=position)
        assert [r.key for r in rest] == [key for key, _, _ in whole[number + 1 :]]


def test_columns_of_later_rows_are_in_the_file_and_empty_in_earlier_ones(tmp_path: Path) -> None:
    with writing(open_sink(tmp_path / "a.csv")) as sink:
        sink.write([{"a": 1, "l": [1, {"b": None}]}])
        sink.write([{"z": True, "a": None}, {"a": 0.5}])
        with pytest.raises(BadRowError, match="row 4 has no columns"):
            sink.write([{}])
    content = (tmp_path / "a.csv").read_bytes()
    assert content == b'a,l,z\r\n1,"[1,{""b"":null}]",\r\n,,true\r\n0.5,,\r\n'
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]
