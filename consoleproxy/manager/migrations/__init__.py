"""The store's schema, step by step: Alembic brings a store of any earlier version to the newest.

To change the schema, change ``store_schema`` and add a file to ``versions`` whose
``down_revision`` is the newest one; a test compares the two.
"""
