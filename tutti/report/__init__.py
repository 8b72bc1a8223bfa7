"""`tutti report`: runs as one HTML file that is readable offline."""
