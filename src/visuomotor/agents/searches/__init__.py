"""The classical focus searches, a file for each family.

A search is a public generator function of one of these files: it yields a position to look at,
receives the sharpness measured there, and returns the position to end at, which is always the
sharpest it has seen, the start included. It never looks outside the limits. Options that are
lengths count in fine steps. To add a search, write the function in the file it fits, or in a new
one; ``agents.search.searches`` finds it by its name.
"""
