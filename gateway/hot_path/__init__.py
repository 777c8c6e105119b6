"""What is answered at once, from memory."""
