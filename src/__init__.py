"""The Phase 6 study's commands, unchanged: each a few lines that call headscope's verbs."""
