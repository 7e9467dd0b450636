"""One file for each kind of rig part; its name is the ``driver`` of a rig file.

A driver file defines ``Settings``, a frozen dataclass of the keys of its own table in a rig file,
and ``connect(settings, folder) -> Connection``; see ``instruments.driving`` for what a connection
gives. It imports its SDK plainly at its top.
"""
