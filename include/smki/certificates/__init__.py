"""What a certificate says, and the sets that certificates form. Pure: no database, no network."""
