"""Images and sounds of requests: referred to while requests are stored, and read when they are sent."""
