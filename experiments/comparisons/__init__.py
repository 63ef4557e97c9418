"""What finished runs say side by side: tables, tests, pictures and a page."""
