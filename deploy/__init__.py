"""How the system is put together and started."""
