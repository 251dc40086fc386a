"""Results drawn over images and videos: boxes, expressions, and a point on the circumplex."""
