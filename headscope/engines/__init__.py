"""Where pieces of work run, and what keeps their results: in this process, or on Ray."""
