"""Backbones: one file each with `build(size) -> (module, features)`.

The module takes (n, 3, size, size), normalized, and returns (n, features); its weights are random.
A file may also say:

- `IMAGENET`: where weights learned on ImageNet are, as (library, name): `torchvision` and a name
  that `torchvision.models.get_weight` knows, or `timm` and a model of it with its tag;
- `HEAD`: beginnings of the names of the classifier's weights in such a file, which are left out;
- `layers(module)`: its layers in order, as its publication counts them, None for one without
  weights; without this every module that has weights or no parts of its own is one;
- `initialize(linear)`: the random weights of a last layer; without this they are torch's.
"""
