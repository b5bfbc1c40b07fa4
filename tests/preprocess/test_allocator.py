"""What the C library does with the memory of batches."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
from mltk.data.allocator import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        # As batches are: some live while others go.
        arrays = [np.ones(300_000, np.float32) for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
keep_freed_memory()
faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
@pytest.mark.parametrize(("environment", "kept"), [({}, True), ({"MALLOC_MMAP_THRESHOLD_": "100000"}, False)])
def test_freed_memory_is_used_again(environment, kept):
    result = subprocess.run(
        [sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, env=environment
    )
    # A page is 4 kB, an array 293 of them.
    assert (int(result.stdout) < 1000) == kept, result.stdout
