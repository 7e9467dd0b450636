"""Anikina, Rogov and Dylov 2021, "DASHA: Decentralized autofocusing system with hierarchical
agents"."""

from visuomotor.studies.anikina2021.study import CONFIG, PARTS, evaluate_shipped

__all__ = ["CONFIG", "PARTS", "evaluate_shipped"]
