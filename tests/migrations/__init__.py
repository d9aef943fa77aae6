"""Migrations, against real servers and folders of their own."""
