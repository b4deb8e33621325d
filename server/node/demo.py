"""The demo directory of development mode: the people, the company and the numbers of the README's examples."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from server.services.directory.directory import Directory

DEMO_PEOPLE: Final = {456: "Jane A. Smith", 7: "John H. Doe", 8: "Maria Garcia"}
"""Whom to try things out as. Jane and Maria are members of Acme (company 123), John has asked Jane to be trusted."""

# Jane's Buzz number and the caller +1 987 654 3210 are those of the look-ups' example requests.
DEMO_LINES: Final = """
{"kind":"person","id":456,"first_name":"Jane","middle_name":"A.","last_name":"Smith","avatar":null,"numbers":["+12025550101"]}
{"kind":"person","id":7,"first_name":"John","middle_name":"H.","last_name":"Doe","avatar":null,"numbers":["+12025550107"]}
{"kind":"person","id":8,"first_name":"Maria","last_name":"Garcia","avatar":null,"numbers":["+12025550108"]}
{"kind":"company","id":123,"name":"Acme","avatar":null,"numbers":["+18005550100"]}
{"kind":"member","company_id":123,"person_id":456}
{"kind":"member","company_id":123,"person_id":8}
{"kind":"contact","id":9,"person_id":456,"first_name":"Bob","last_name":"Ray","numbers":["+12025550123"],"trusted":true}
{"kind":"contact","id":10,"person_id":456,"first_name":"Ann","last_name":"Lee","numbers":["+19876543210"],"trusted":true}
{"kind":"contact","id":11,"person_id":456,"first_name":"Sam","last_name":"Hill","numbers":["+12025550199"],"trusted":false}
{"kind":"trusted_company","person_id":456,"company_id":123}
{"kind":"trust_request","id":1,"person_id":456,"from":{"type":"person","id":7},"created_at":"2024-07-01T10:00:00Z"}
{"kind":"number","number":"+12385551629","person_id":456}
{"kind":"service_code","code":"57","name":"Privacy line","company_id":123}
"""


async def load_demo(directory: Directory) -> bool:
    """Fill the directory if it is empty; returns whether it was filled."""
    if not await directory.is_empty():
        return False
    await directory.import_lines(_pieces())
    return True


async def _pieces() -> AsyncIterator[bytes]:
    yield DEMO_LINES.encode()
