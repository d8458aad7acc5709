"""Feature memories: labelled features, read as a classifier that goes on learning. One policy per file.

``knn``        AdaNPC: nearest labelled neighbours, arXiv:2304.12566
``dual``       dual memory networks: text, static and dynamic memory, arXiv:2403.17589
``prototype``  a Gaussian per class, arXiv:2301.01828
"""

from anamnos.associative.feature_memory.memory import Adapted, FeatureMemory
from anamnos.associative.feature_memory.spec import FeatureMemorySpec

__all__ = ["Adapted", "FeatureMemory", "FeatureMemorySpec"]
