"""The run folder: what is kept of a run, and the Phase 6 study's formats. Needs neither torch nor transformers."""
