"""The LightningModules: base networks, SAEs, packs of SAEs, probes; and what their training logs."""

from saelab.modules.ablation import Ablation
from saelab.modules.adam import Adam
from saelab.modules.checkpoint import AtomicCheckpointIO
from saelab.modules.classifier import ClassifierModule
from saelab.modules.concepts import ConceptDynamics
from saelab.modules.csv import CurvesLogger
from saelab.modules.muon import MuonAdam
from saelab.modules.pack import PackModule
from saelab.modules.pack_files import PackCheckpointIO, PackCurves
from saelab.modules.probe_data import ProbeData
from saelab.modules.probe_module import ProbeModule
from saelab.modules.progress import Progress
from saelab.modules.resample import Resample
from saelab.modules.sae import SAEModule
from saelab.modules.straight import Straight
from saelab.modules.throughput import Throughput
from saelab.modules.unprofiled import Unprofiled

__all__ = [
    "Ablation",
    "Adam",
    "AtomicCheckpointIO",
    "ClassifierModule",
    "ConceptDynamics",
    "CurvesLogger",
    "MuonAdam",
    "PackCheckpointIO",
    "PackCurves",
    "PackModule",
    "ProbeData",
    "ProbeModule",
    "Progress",
    "Resample",
    "SAEModule",
    "Straight",
    "Throughput",
    "Unprofiled",
]
