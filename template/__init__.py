"""The pipelines that go into the image: parameters, sources, model contract, inference, sinks.

Never imports ``launcher``.
"""

import os

__version__ = "0.1.0"

# Let torch ask Linux for pages of 2 MiB for tensors of that size or more. glibc gives their memory
# back after each call, and each page of 4 KiB that the next call touches costs a page fault, most
# of the time of a network with large activations. torch reads the variable when it makes its first
# tensor (https://github.com/pytorch/pytorch/pull/115990); 0 leaves torch as it is.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
