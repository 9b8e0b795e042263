"""The signed index: what a site offers, beside the files, for whoever downloads (docs/party.md).

It states what the ledger has, so no gate judges it and nothing is due by a time: it follows each publication.
"""
