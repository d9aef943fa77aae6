"""Async, raw-SQL PostgreSQL store for the memory of AI agents.

::

    async with Database(dsn, PRODUCTION) as db:
        org = await organizations.create(db, NewOrganization(name="Acme"))
        scope = db.tenant(org.id)
        agent = await agents.create(scope, NewAgent(name="planner"))
        await messages.append(scope, agent.id, [NewMessage(role="user", text="I take my coffee black")])
"""

from __future__ import annotations
