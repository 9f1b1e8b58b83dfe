"""How much each layer matters."""
