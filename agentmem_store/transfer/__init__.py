"""Dump and load: an organization, or one agent, as a file that any database of this store can take.

The file is JSONL in UTF-8, compressed where its name ends in ``.gz``. Its first line says what it holds, its last line
how many rows of each table and their SHA-256, and each line between is ``{"table": …, "row": {…}}``. Rows hold
everything that is stored except what is made of it (generated columns, counts of words), and no organization: that
stands in the first line alone.

A file is loaded by the schema it was dumped from: the columns must be the same, and the database not older.
"""

from agentmem_store.transfer.dumping import DumpReport, dump
from agentmem_store.transfer.files import DumpInvalid
from agentmem_store.transfer.loading import LoadReport, NotAsDumped, load

__all__ = ["DumpInvalid", "DumpReport", "LoadReport", "NotAsDumped", "dump", "load"]
