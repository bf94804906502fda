"""What people look at: predictions of files, and the page."""
