"""Benchmarks: `python -m bench [NAME…]`, ours and the asyncpg.Pool idiom side by side in one run."""
