"""One stack for all tests of the gateway's doors: starting one takes as long as most of them."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from deploy.throwaway import stack_at
from schemas.failpoint import VARIABLE
from tests.support.accounts import apply_accounts
from tests.support.site import ACCOUNTS, BASE, Site


@pytest.fixture(scope="package")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    data, armed = tmp_path_factory.mktemp("gateway"), tmp_path_factory.mktemp("armed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(armed))
        patch.setenv("CHUNGSUC_GATEWAY_REPORTS_PER_S", "5000")
        with stack_at(data, port_base=BASE) as stack:
            settings = stack.settings()
            registers, tokens = apply_accounts(settings, ACCOUNTS)
            catalogue = registers.newest_catalogue()
            assert catalogue is not None
            with httpx.Client(base_url=stack.gateway, timeout=30) as client:
                yield Site(stack, settings, catalogue, tokens, armed, client)
