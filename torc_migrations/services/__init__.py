"""What a service needs: operations that can be awaited, waiting for a version, and many databases."""
