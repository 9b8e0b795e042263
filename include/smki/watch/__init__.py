"""Watches the obligations: what is due when, what is really on the sites, what to tell whom."""
