"""How figures get out: the read model, the proof, the page, the exports and the exporter of lag."""
