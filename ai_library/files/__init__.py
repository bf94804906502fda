"""Bytes on disk, which know nothing of networks: files replaced whole, sealed files, safe text."""
