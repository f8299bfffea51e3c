"""Rows of SQL databases: tables and queries as sources, tables as sinks.

`sqlite:///reviews.db?table=reviews` and `postgresql://user@host/shop?query=select …`. Each module
owns one noun; nothing here knows jobs or models. SQLAlchemy connects, looks up what is there and
streams; the few statements are written out, since they are the same for both databases.
"""
