"""From a verified file to a file on a site: the recipe of publication and the ledger that records it."""
