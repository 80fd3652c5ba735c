"""Head ablation."""
