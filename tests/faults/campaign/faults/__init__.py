"""Every fault, by group; importing this package fills the register."""

from tests.faults.campaign.faults import (  # noqa: F401
    brokers,
    clocks,
    delivery,
    derived,
    disks,
    kills,
    network,
    nodes,
    stops,
)
