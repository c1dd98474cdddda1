"""The peers' programs. They run in the peers' venv and know nothing of stocksync."""
