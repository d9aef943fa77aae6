"""Repository functions, one module per table. They never call each other; what two share has a module of its own."""
