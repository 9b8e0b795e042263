"""The certificate store in PostgreSQL: lodging, status, windows."""
