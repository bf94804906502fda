"""A user's own images in their storage formats: folders, zip files, tables and npz files."""
