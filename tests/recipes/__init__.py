"""What the recipes of the README run in: an order system, as far as they need one."""
