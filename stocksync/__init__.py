"""stocksync: a transactional outbox that keeps the flag "stock deducted" true in two places."""

__version__ = "0.1.0"
