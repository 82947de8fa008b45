"""The pipeline that goes into the image: parameters, sources, model contract, inference, sinks.

Never imports ``launcher``.
"""

import os

__version__ = "0.1.0"

# Lets torch ask Linux for pages of 2 MiB for tensors of at least that size. glibc gives their memory
# back after each call, and every page of 4 KiB that the next call touches costs a page fault: with a
# network of large activations most of the CPU's time. torch reads the variable when it makes its
# first tensor (https://github.com/pytorch/pytorch/pull/115990). Set to 0, it leaves torch as it is.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
