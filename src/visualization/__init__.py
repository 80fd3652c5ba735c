"""Pictures of both."""
