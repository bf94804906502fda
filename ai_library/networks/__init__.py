"""What maps images to logits, and the file that holds it trained."""
