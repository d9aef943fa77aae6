"""The bench: questions about speed, answered side by side with others in one run. docs/benchmarks.md says how."""
