"""Where examples come from: sources, drawing, image files, augmentation. Knows no network."""
