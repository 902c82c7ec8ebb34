"""A machine that does not allow a fault leaves the test out, with its own words."""

from __future__ import annotations

from pathlib import Path

import pytest
from primacy.testing import machine


@pytest.mark.parametrize("said", ["", "mount --make-shared /run/netns failed: Operation not permitted"])
def test_a_network_is_tried_and_left_out_with_what_ip_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: str
) -> None:
    ip = tmp_path / "ip"
    ip.write_text(f"#!/bin/sh\n[ -z '{said}' ] || {{ echo '{said}' >&2; exit 1; }}\n")
    ip.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    if said:
        with pytest.raises(pytest.skip.Exception, match=f"LEFT OUT: .* ip netns add: {said}"):
            machine.needs_network()
    else:
        machine.needs_network()
