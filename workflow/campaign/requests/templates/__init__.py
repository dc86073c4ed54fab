"""Templates print data: what values look like in a prompt, and the Jinja2 environment that prints them so."""
