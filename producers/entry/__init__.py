"""The pages on which people report and superiors decide, served by the gateway's process."""
