"""The shapes that go in and come out: for each table its row, what creates one, and what changes one."""
