"""The pixels of a user's images: decoding, fitting to a model's image shape, copies. It knows no source or folder."""
