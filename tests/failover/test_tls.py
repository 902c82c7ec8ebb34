"""TLS both ways: who is on the other end, and certificates that are replaced while all runs."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from primacy.testing.candidate import Candidate
from primacy.testing.certificates import Authority
from primacy.testing.process import pick
from primacy.testing.scene import Scene


@pytest.mark.short
async def test_a_cluster_with_certificates_on_both_ends_fails_over(scene: Scene, tmp_path: Path) -> None:
    await scene.own_etcd(tls=Authority(tmp_path / "tls"))
    primary, (standby,) = await scene.primary_and_standbys()
    token = primary.token
    scene.act("the primary is killed")
    await primary.crash()
    await scene.next_primary(token, [standby], scene.ttl + 2)
    await scene.appended(standby)


@pytest.mark.short
async def test_who_does_not_trust_or_is_not_trusted_says_so_and_is_never_primary(
    scene: Scene, tmp_path: Path
) -> None:
    await scene.own_etcd(tls=Authority(tmp_path / "tls"))
    other = Authority(tmp_path / "other")
    stranger = other.sign("stranger")
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    # TLS 1.2, which the first etcd 3.5 speak, knows one alert only.
    cases = {
        "wrong authority": (
            scene.tls_flags(tlsCACert=str(other.cert)),
            "invalid peer certificate: BadSignature",  # the same name, another key
        ),
        "no certificate of its own": (
            scene.tls_flags(tlsCert="", tlsKey=""),
            "received fatal alert: (CertificateRequired|BadCertificate)",
        ),
        "a stranger's certificate": (
            scene.tls_flags(tlsCert=str(stranger.cert), tlsKey=str(stranger.key)),
            "received fatal alert: (UnknownCA|BadCertificate)",
        ),
        "garbage for an authority": (
            scene.tls_flags(tlsCACert=str(garbage)),
            "garbage.pem: no certificate in it",
        ),
        "another's key": (
            scene.tls_flags(tlsKey=str(stranger.key)),
            "stranger.key: the key is not the certificate's",
        ),
    }
    for case, (flags, why) in cases.items():
        scene.act(case)
        refused = await scene.candidate(*flags)
        await is_refused(refused, why)


async def is_refused(candidate: Candidate, why: str) -> None:
    """For good: it ends and says so."""
    candidate.ended_by_us = True
    assert await candidate.process.ended(20) > 0
    said = candidate.process.log.read_text()
    assert re.search(f"no session: denied: .*{why}", said), said
    assert not pick(candidate.process.lines, "primary", "standby")


async def test_a_server_by_another_name_is_not_trusted(scene: Scene, tmp_path: Path) -> None:
    await scene.own_etcd(tls=Authority(tmp_path / "tls"), names="DNS:elsewhere.example")
    refused = await scene.candidate()
    await is_refused(refused, "invalid peer certificate: certificate not valid for name")


async def test_certificates_are_replaced_and_the_old_ones_not_trusted_any_more(
    scene: Scene, tmp_path: Path
) -> None:
    authority = Authority(tmp_path / "tls")
    etcd = await scene.own_etcd(tls=authority)
    primary, (standby,) = await scene.primary_and_standbys()
    token = primary.token
    scene.act("all certificates and the authority are replaced, and etcd is started again")
    await etcd.kill()
    fresh = Authority(tmp_path / "fresh")
    signed = fresh.sign("server")
    for new, old in ((fresh.cert, authority.cert), (signed.cert, "server.pem"), (signed.key, "server.key")):
        shutil.copy(new, authority.folder / old)
    etcd.reload()
    await etcd.start()
    await scene.stays(primary, token)
    await scene.appended(primary)
    assert not pick(primary.process.lines, "lost")
    scene.act("the primary is killed")
    await primary.crash()
    await scene.next_primary(token, [standby], 2 * scene.ttl + 2)
