"""Speed and memory of headscope and of its rivals on the same weights and prompts: ``make bench``."""
