"""How a report gets in: keys, outbox, publisher, replay of histories, simulator."""
