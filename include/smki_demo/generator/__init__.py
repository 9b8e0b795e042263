"""Made-up repositories: a signed PKI for demo and tests, look-alikes in volume for measurements."""
