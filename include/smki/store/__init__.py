"""What a file is made of, and where that lies: segments, manifests, a folder or object storage."""
