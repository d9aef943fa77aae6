"""The filter of metadata, one JSON text with the fields of `MetadataFilter`."""

from __future__ import annotations

from typing import LiteralString

__all__ = ["has_metadata"]


def has_metadata(wanted: LiteralString) -> LiteralString:
    """Return the condition on `m.metadata`, which holds where the parameter is NULL.

    `->` and the comparison are jsonb's own, so that numbers compare as numbers. What does not depend on the row is a
    subselect: it is read once, not per row.

    Args:
        wanted: the parameter, such as `$8`.
    """
    return "(" + wanted + """::text IS NULL OR (
          m.metadata @> (SELECT """ + wanted + """::jsonb -> 'contains')
          AND m.metadata ?& ARRAY(SELECT jsonb_array_elements_text(""" + wanted + """::jsonb -> 'exists'))
          AND NOT EXISTS (
              SELECT
              FROM jsonb_each((SELECT """ + wanted + """::jsonb -> 'any_of')) AS f (key, choices)
              WHERE NOT EXISTS (
                        SELECT
                        FROM jsonb_array_elements(f.choices) AS c (choice)
                        WHERE c.choice = m.metadata -> f.key
                    )
          )
          AND NOT EXISTS (
              SELECT
              FROM jsonb_each((SELECT """ + wanted + """::jsonb -> 'ranges')) AS f (key, ends)
              WHERE (
                        jsonb_typeof(m.metadata -> f.key)
                        = jsonb_typeof(coalesce(nullif(f.ends -> 0, 'null'), f.ends -> 1))
                        AND (f.ends -> 0 = 'null' OR m.metadata -> f.key >= f.ends -> 0)
                        AND (f.ends -> 1 = 'null' OR m.metadata -> f.key <= f.ends -> 1)
                    ) IS NOT TRUE
          )
      ))"""
