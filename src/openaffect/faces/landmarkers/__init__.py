"""Landmark finders: one file each, found by its file name.

A landmarker file holds

- `NOTICE`: one line on terms of use that a caller must be shown, or an empty string;
- `locate(image, box)`: RGB uint8 (h, w, 3) and the box of a face in YuNet's framing to
  68 points in iBUG-68 order, float32 (68, 2), in pixels of `image`. It must be safe to call
  from several threads.
"""
