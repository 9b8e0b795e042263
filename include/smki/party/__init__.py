"""The other side of the SFTP server: what a Party does with the files."""
