"""The splitter cuts where the server does: run piece by piece, a file does what it does as a whole."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agentmem_store.migrations.splitter import split

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY = settings(
    max_examples=int(os.environ.get("AGENTMEM_FUZZ", "150")),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def server_connection(server: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(server) as connection:
        yield connection


def outcome(connection: psycopg.Connection[Any], pieces: list[str]) -> list[Any] | None:
    """Run pieces one after the other by the simple protocol, which takes several statements in one.

    Returns:
        what each statement answered; None where one failed.
    """
    answers: list[Any] = []
    try:
        with connection.transaction(force_rollback=True):
            for piece in pieces:
                cursor = connection.execute(piece.encode())
                while True:
                    answers.append((cursor.statusmessage, cursor.fetchall() if cursor.description else None))
                    if not cursor.nextset():
                        break
    except psycopg.Error:
        return None
    return answers


# --- files that are right, with everything in them that looks like an end and is none ---------------------------------

nasty = st.lists(
    st.sampled_from(
        [";", "'", '"', "--", "/*", "*/", "$$", "$a$", "\\", "\n", "\r", " ", "x", "END", "(", ")", "é", "?"]
    )
).map("".join)
tags = st.sampled_from(["", "a", "b1", "_", "é"])


def standard(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def escaped(text: str) -> str:
    return "E'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def dollar(tag: str, text: str) -> str:
    text = text.replace("$", "")
    return f"${tag}${text}${tag}$"


def comment(text: str) -> str:
    return "/* /* " + text.replace("/", "").replace("*", "") + " */ ; */"


space = st.one_of(
    st.sampled_from([" ", "\n", "\t", "\r\n"]),
    nasty.map(lambda text: "--" + text.replace("\n", "").replace("\r", "") + "\n"),
    nasty.map(comment),
)
literal = st.one_of(
    nasty.map(standard),
    nasty.map(escaped),
    st.builds(dollar, tags, nasty),
    nasty.map(lambda text: "N" + standard(text)),
    nasty.map(lambda text: "U&" + standard(text.replace("\\", "\\\\"))),
    st.builds(lambda a, b: standard(a) + " -- 'x\n  --y\n " + standard(b), nasty, nasty),
    st.builds(lambda a, b: escaped(a) + "\n" + escaped(b)[1:], nasty, nasty),
)
name = nasty.filter(len).map(lambda text: '"' + text[:15].replace('"', '""') + '"')
selected = st.builds("SELECT{}{}{}AS{}{}".format, space, literal, space, space, name)
whole_body = (
    "CREATE{}OR REPLACE FUNCTION pg_temp.f() RETURNS text{}LANGUAGE sql BEGIN{}ATOMIC {};"
    " SELECT CASE WHEN true THEN {} END; SELECT 1 AS end; SELECT 'x' END; END"
)
routine = st.builds(whole_body.format, space, space, space, selected, nasty.map(standard))
rule = st.just(
    "CREATE TEMP TABLE IF NOT EXISTS t (a int); CREATE OR REPLACE RULE r AS ON INSERT TO t DO ALSO"
    " (SELECT 'a;'; SELECT 2 /* ; */; NOTIFY x)"
)
files = st.lists(
    st.builds("{}{}{};".format, space, st.one_of(selected, selected, routine, rule), space), min_size=1, max_size=5
).map("".join)


@MANY
@given(sql=files, tail=st.one_of(st.just(""), space))
def test_a_file_split_does_what_it_does_as_a_whole(server_connection, sql, tail):
    whole = outcome(server_connection, [sql + tail])
    pieces = split(sql + tail)
    assert whole is not None
    assert outcome(server_connection, [piece.sql for piece in pieces]) == whole
    assert len(pieces) == len(whole)


# --- any text at all --------------------------------------------------------------------------------------------------

soup = st.lists(
    st.sampled_from([
        "SELECT 1", "SELECT", "1", "'", "''", "E'", "e'\\'", "\\", "U&'", "$$", "$a$", "a$a$", "$1", '"', '""', "--",
        "/*", "*/", ";", "\n", " ", "(", ")", "AS", "x", "+", "CREATE", "FUNCTION", "BEGIN", "ATOMIC", "é", ",", "'a'",
    ]),
    max_size=14,
).map("".join)  # fmt: skip


@MANY
@given(sql=soup)
def test_any_text_at_all_works_split_if_and_only_if_it_works_whole(server_connection, sql):
    whole = outcome(server_connection, [sql]) if sql.strip() else []
    parts = outcome(server_connection, [piece.sql for piece in split(sql)])
    if whole is None or parts is None:
        assert whole == parts
    else:
        assert [answer for answer in whole if answer[0]] == parts


@pytest.mark.parametrize(
    ("sql", "pieces"),
    [
        ("", []),
        (" ;;-- x;\n/* ; /* ; */ */;", []),
        ("a;b", ["a", "b"]),
        ("a;b;", ["a", "b"]),
        ("select ';'; x", ["select ';'", "x"]),
        ("select E'\\';'; x", ["select E'\\';'", "x"]),
        ("select e'a'\n'b\\';'; x", ["select e'a'\n'b\\';'", "x"]),
        ("select 'a\\'; x", ["select 'a\\'", "x"]),
        ("do $a$ ; $$ ; $a$; x", ["do $a$ ; $$ ; $a$", "x"]),
        ("select a$b$; x", ["select a$b$", "x"]),
        ('select "a;""b"; x', ['select "a;""b"', "x"]),
        ("create rule r as on insert to t do (a; b); x", ["create rule r as on insert to t do (a; b)", "x"]),
        ("begin; atomic; end; x", ["begin", "atomic", "end", "x"]),
        ("select 'never closed; x", ["select 'never closed; x"]),
        ("select $$ never closed; x", ["select $$ never closed; x"]),
        ("a /* never closed; x", ["a /* never closed; x"]),
    ],
)
def test_by_example(sql, pieces):
    assert [piece.sql for piece in split(sql)] == pieces
    assert all(sql[piece.at :].startswith(piece.sql) for piece in split(sql))


def test_patterns_see_neither_comments_nor_what_strings_say():
    (piece,) = split("create /* ; */ index--\n  i on \"T x\" ((a || 'drop;' || $q$ x $q$))")
    assert piece.code == "create index i on \"T x\" ((a || '' || ''))"
