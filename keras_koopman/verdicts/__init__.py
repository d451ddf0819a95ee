"""What is the matter with a run, or with a network before it runs: a diagnosis with figures and a reason."""

from .assess import assess
from .initialization import InitializationProfile, profile_activations, profile_initialization
from .thresholds import Thresholds
from .verdict import Diagnosis, Verdict

__all__ = [
    "Diagnosis",
    "InitializationProfile",
    "Thresholds",
    "Verdict",
    "assess",
    "profile_activations",
    "profile_initialization",
]
