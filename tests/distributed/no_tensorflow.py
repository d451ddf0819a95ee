"""Imported first, it hides TensorFlow from Keras, whose import takes as long as a test."""

import sys

sys.modules["tensorflow"] = None
