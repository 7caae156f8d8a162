"""Check, report and maintain indexes."""
