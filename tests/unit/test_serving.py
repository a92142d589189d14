"""What our web processes have around them."""

from __future__ import annotations

import socket

from schemas.serving import listening, page_headers


def test_answer_in_two_parts_does_not_wait_for_the_other_side() -> None:
    with listening(0, 1) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_policy_of_pages_allows_this_host_and_what_was_asked_for() -> None:
    policy = page_headers("worker-src 'self'")["Content-Security-Policy"].split("; ")
    assert policy[0] == "default-src 'none'"
    assert "worker-src 'self'" in policy
    assert "script-src 'self'" in policy
    assert not any("unsafe" in one or "*" in one for one in policy)
