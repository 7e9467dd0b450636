"""Focus on samples never seen before: the benchmark that every searcher is compared on."""

from visuomotor.studies.generalisation.study import CONFIG, PARTS, evaluate_shipped

__all__ = ["CONFIG", "PARTS", "evaluate_shipped"]
