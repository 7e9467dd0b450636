"""The papers, reproduced: one folder a study.

Each holds ``study.py`` (frozen configs and the parts that can be run), ``README.md`` (what the
paper did, readings, departures), ``paper.json`` (its numbers and where they stand) and
``results.json`` (ours). A study is found by its folder's name; its package offers ``CONFIG``,
``PARTS`` and ``evaluate_shipped``.
"""
