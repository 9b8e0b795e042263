"""What has to be on the server by when, as user_guide.toml states it. Pure: no database, no network."""
