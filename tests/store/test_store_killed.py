"""Extraction in a process of its own: killed in mid-write, and watched for its memory."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from small_store import Digits, Net, files, make

from saelab.store import Store

HERE = Path(__file__).parent
PATHS = f"import sys; sys.path[:0] = [{str(HERE)!r}, {str(HERE.parents[1] / 'src')!r}]\n"

DIE = """
import os, signal
from pathlib import Path
from saelab.store import format, writer
from small_store import Digits, Net, make

def die_halfway(what, tensors, *, of):
    whole = of(tensors)
    with open(what, "wb") as file:
        file.write(whole[: len(whole) // 2])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

def save_file(tensors, part, save=format.save_file):
    if "{victim}" in str(part):
        from safetensors.torch import save as to_bytes
        die_halfway(part, tensors, of=to_bytes)
    save(tensors, part)

def fsync(fd, fsync=os.fsync):
    if "{victim}" in os.readlink(f"/proc/self/fd/{{fd}}"):
        os.kill(os.getpid(), signal.SIGKILL)
    fsync(fd)

format.save_file = save_file
if "{victim}" == "meta.json":
    os.fsync = fsync
make(Path({path!r}), Net(), Digits())
"""

VICTIMS = ["train/acts/net.1/00003", "val/labels/00000", "meta.json"]


@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_in_mid_write_then_finished_to_the_same_bytes(tmp_path, victim) -> None:
    if victim == "meta.json" and sys.platform != "linux":
        pytest.skip("finds the file by /proc")
    code = PATHS + DIE.format(victim=victim, path=str(tmp_path / "killed"))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [*tmp_path.rglob("*.tmp")], "it was to be killed while a file was half written"
    with pytest.raises(ValueError, match="unfinished"):
        Store(tmp_path / "killed")

    rest = Digits()
    store = make(tmp_path / "killed", Net(), rest)  # the dead process holds no lock
    whole = make(tmp_path / "whole", Net(), Digits())
    assert files(tmp_path / "killed") == files(tmp_path / "whole")
    assert store.meta.splits == whole.meta.splits
    assert rest.asked == {VICTIMS[0]: 14 - 4, VICTIMS[1]: 3, VICTIMS[2]: 0}[victim]
    assert not [*tmp_path.rglob("*.tmp")]


GROW = """
import resource, torch
torch.set_num_threads(1)  # a second thread would wait for the other tests
from pathlib import Path
from types import SimpleNamespace
from saelab.store import PoolBatches, extract

class Many:
    def __init__(self, n): self.n = n
    def size(self, split): return self.n
    def batch(self, split, index, epoch=0):
        return SimpleNamespace(x=index[:, None] % 1009 * torch.ones(256), labels={{"digit": index % 10}})

def peak(n):
    net = torch.nn.Sequential(torch.nn.Linear(256, 256))
    options = dict(sites=["0", "0:in"], splits=["train"], recipe={{"n": n}}, shard_rows=4096, progress=False)
    store = extract(net, Many(n), Path({path!r}) / str(n), **options)
    served = sum(len(a.row) for a in PoolBatches(store, split="train", site="0", batch_size=512, pool_rows=8192))
    assert served == n
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6

small = peak(3 * 8192)
print(peak(130_000) - small)
"""


def test_memory_does_not_grow_with_the_rows(tmp_path) -> None:
    """130,000 rows of two sites are 266 MB on disk; the peak over that of 24,576 rows must be a fraction of it."""
    code = PATHS + GROW.format(path=str(tmp_path))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 40, f"the peak grew by {float(done.stdout):.0f} MB"
