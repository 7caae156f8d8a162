"""What runs inside services and their tests."""
