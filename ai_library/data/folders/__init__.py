"""A user's own images as they are stored: folders, zip files of them, tables and npz files."""
