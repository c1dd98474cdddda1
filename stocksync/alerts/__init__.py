"""Alerts: changes of state put into words, in Russian and in English, and the plot of a day."""

from stocksync.alerts.acts import Act
from stocksync.alerts.catalogue import Catalogue, catalogue
from stocksync.alerts.facts import line_of
from stocksync.alerts.headlines import MARKS
from stocksync.alerts.speech import Speech
from stocksync.alerts.words import Words

__all__ = ["MARKS", "Act", "Catalogue", "Speech", "Words", "catalogue", "line_of"]
