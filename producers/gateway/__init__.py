"""The gateway: reports over HTTP from those who write no Kafka, acknowledged when the broker has them."""
