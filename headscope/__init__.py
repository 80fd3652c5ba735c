"""headscope: which attention heads carry a concept, and what the model says without them."""
