"""Web: health, metrics, the API and the page, for people and programs that ask over HTTP."""

from stocksync.web.web import Web

__all__ = ["Web"]
