"""Every statement of the library, a module per table. `Query` values only: what runs them is in `repositories`.

Written for a DBA: explicit columns, schema-qualified, parameters only. ``$1`` is always the organization. Column lists
and shared parts are constants joined with ``+``, so that a type checker still sees a `LiteralString`.
"""
