"""`python -m stocksync`: the same as the command `stocksync`."""

from stocksync.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
