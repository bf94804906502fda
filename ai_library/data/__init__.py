"""Data: sources, generated shapes, image files, augmentation. It does not depend on networks."""
