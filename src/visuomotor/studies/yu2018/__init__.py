"""Yu et al. 2018, "A robotic auto-focus system based on deep reinforcement learning"."""

from visuomotor.studies.yu2018.study import CONFIG, PARTS, evaluate_shipped

__all__ = ["CONFIG", "PARTS", "evaluate_shipped"]
