"""Sparse autoencoders, one file a variant; plain torch."""

from saelab.sae.abs_topk import AbsTopK
from saelab.sae.base import SAE
from saelab.sae.batchtopk import BatchTopK
from saelab.sae.densae import DenSaE
from saelab.sae.dense_vae_sparse import DenseVAESparse
from saelab.sae.gated import Gated
from saelab.sae.identity import Identity
from saelab.sae.jumprelu import JumpReLU
from saelab.sae.lagrangian import Lagrangian
from saelab.sae.lista import LISTA
from saelab.sae.matching_pursuit import MatchingPursuit
from saelab.sae.matryoshka import Matryoshka
from saelab.sae.matryoshka_lagrangian import MatryoshkaLagrangian
from saelab.sae.omp import OMP
from saelab.sae.p_anneal import PAnneal
from saelab.sae.pca import PCA
from saelab.sae.random import Random
from saelab.sae.relu import ReLU
from saelab.sae.step import Dense, Step
from saelab.sae.topk import TopK
from saelab.sae.vae import VAE

__all__ = [
    "LISTA",
    "OMP",
    "PCA",
    "SAE",
    "VAE",
    "AbsTopK",
    "BatchTopK",
    "DenSaE",
    "Dense",
    "DenseVAESparse",
    "Gated",
    "Identity",
    "JumpReLU",
    "Lagrangian",
    "MatchingPursuit",
    "Matryoshka",
    "MatryoshkaLagrangian",
    "PAnneal",
    "Random",
    "ReLU",
    "Step",
    "TopK",
]
