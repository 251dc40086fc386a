"""Backbones: `timm/NAME`, `torchvision/NAME`, or a file here with `build(size)`.

`build(size) -> (module, features)` gives a module that takes (n, 3, size, size), normalized, and
returns (n, features); its weights are random. A file may also say:

- `layers(module)`: its layers in order, as its publication counts them, None for one without
  weights; without this every module that has weights or no parts of its own is one;
- `initialize(linear)`: the random weights of a last layer; without this they are torch's.
"""

LIBRARIES = ("timm", "torchvision")
"""Whose nets are backbones by `LIBRARY/NAME`."""
