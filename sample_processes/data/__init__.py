"""Orders and their lines as CSV, and the script that makes them."""
