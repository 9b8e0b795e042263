"""What a file is made of, and where that lies: segments, manifests, the staging area."""
