"""Damaged inputs through every door that takes foreign bytes: `python -m fuzz` in the folder `tests`.

Each case is made from its door and one number, so that any finding can be made again. A case
must end in a row, a rejected row or one line of error, within 20 s and 2 GB; whatever else happens
is a finding. Coverage-guided engines need an instrumented build of every C library that we call
(OpenCV, FFmpeg, Arrow, onnxruntime); mutations that know the formats find more per minute here.
"""
