"""Request fields whose values stand in columns of the prompt files."""
