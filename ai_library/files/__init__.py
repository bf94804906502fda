"""Files: atomic replacement, sealed files, locks, safe text. It does not depend on networks."""
