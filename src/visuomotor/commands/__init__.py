"""The commands of ``visuomotor``, one file each.

A command is a function named ``command`` whose parameters become flags and whose docstring becomes
the help; it returns an exit code. Heavy imports stay inside, so that the command line starts fast.
"""
