"""Benchmarks, one file each, found by the name of the file.

A benchmark file defines ``CONFIG``, a frozen dataclass whose fields ``--set`` changes, and
``Benchmark``, made from a stack and such a config. Each public method of it is one row: it returns
a ``Measured``, its first line says what is measured, and the metric is ``bench.`` and its name.
What is compared is measured side by side in the same run.
"""
