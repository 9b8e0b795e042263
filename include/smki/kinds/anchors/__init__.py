"""The base set of certificates for Device anchor slots: configuration → check → two files and their document."""
