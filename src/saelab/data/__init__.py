"""Labelled inputs."""

from saelab.data.batches import Batches
from saelab.data.combined import Combined
from saelab.data.images import DigitSource, ImageSource, denormalize
from saelab.data.loops import Loops
from saelab.data.lowbit_tag import LowBitTag
from saelab.data.lowfreq_tag import LowFreqTag
from saelab.data.mnist import MNIST
from saelab.data.noise_tags import NoiseTags
from saelab.data.source import Batch, Family, Source
from saelab.data.toy import Toy

__all__ = [
    "MNIST",
    "Batch",
    "Batches",
    "Combined",
    "DigitSource",
    "Family",
    "ImageSource",
    "Loops",
    "LowBitTag",
    "LowFreqTag",
    "NoiseTags",
    "Source",
    "Toy",
    "denormalize",
]
