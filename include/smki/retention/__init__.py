"""What is removed from a site and from the staging area, when, and by which rule."""
