"""From tables to charts to a page."""
