"""The daemon: settings in, rooms composed, loops supervised, signals obeyed.

`opening` is also the commands': it is imported by itself, without all that a daemon is.
"""
