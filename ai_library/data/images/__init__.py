"""The pixels of a user's images: decoding, fitting into a model's image, copies. Knows no data source and no folder."""
