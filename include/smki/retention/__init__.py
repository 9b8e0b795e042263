"""What is removed from a site, when, and by which rule."""
