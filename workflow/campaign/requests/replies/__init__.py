"""What is kept of a server's replies."""
