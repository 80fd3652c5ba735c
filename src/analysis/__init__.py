"""Head screening, and its published figures beside measured ones."""
