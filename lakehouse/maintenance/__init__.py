"""What keeps tables small and fast."""
