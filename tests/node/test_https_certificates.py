"""What the PC's authority can vouch for, judged by OpenSSL in real handshakes, and when it signs."""

import ipaddress
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from node.https.certificates import _usage, authority_make, authority_parse, authority_pem, server_issue, server_parse
from node.https.errors import HttpsAddressMissing, HttpsAuthorityUnreadable, HttpsClockWrong, HttpsSwitchedOn
from node.https.names import PcNames, pc_names
from node.https.services import (
    authority_forget,
    authority_read,
    certificate_keep,
    is_switched_on,
    switch_off,
    switch_on,
    switch_read,
)
from node.https.validity import (
    FIRST_PROGRAM,
    ClockWord,
    Validity,
    authority_validity,
    is_renewal_due,
    server_validity,
)

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
NAMES = PcNames(dns=("sinf-5.local", "soro.maktab.tj"), addresses=("10.0.0.5", "192.168.1.20"))
OTHER_NAMES = ("bank.tj", "local", "sinf-6.local", "evil-sinf-5.local", "maktab.tj", "tj")
OTHER_ADDRESSES = ("10.0.0.6", "10.0.1.5", "192.168.1.1", "127.0.0.1", "8.8.8.8", "::1", "fd00::5")


@pytest.fixture(scope="module")
def authority():
    return authority_make(names=NAMES, validity=authority_validity(NOW))


def clock(now=NOW, floor=FIRST_PROGRAM, off_seconds=0.0):
    return ClockWord(now=now, floor=floor, off_seconds=off_seconds)


def handshake(folder, *, pem, anchor, host, purpose=ssl.Purpose.SERVER_AUTH):
    """Let a client that trusts `anchor` alone meet a server with `pem` as `host`; the client's refusal is raised."""
    file = folder / "handshake.pem"
    file.write_bytes(pem)
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(file)
    asking = ssl.create_default_context(purpose, cadata=anchor.public_bytes(Encoding.PEM).decode())
    # As Python 3.13 does by itself.
    asking.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = serving.wrap_bio(to_server, to_client, server_side=True)
    client = asking.wrap_bio(to_client, to_server, server_hostname=host)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert client.version() == "TLSv1.3"
    return client.getpeercert()


def certificate_of(authority, *, dns=(), addresses=(), is_authority=False, days=90):
    """Return a certificate as a thief of the authority's key would make it, with its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.DNSName(name) for name in dns]
    names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    certificate = (
        x509.CertificateBuilder(
            subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "thief")]),
            issuer_name=authority.signer.subject,
        )
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - DAY)
        .not_valid_after(NOW + days * DAY)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.key.public_key()), critical=False)
        .add_extension(_usage(digital_signature=not is_authority, key_cert_sign=is_authority), critical=True)
        .sign(authority.key, hashes.SHA256())
    )
    pem = certificate.public_bytes(Encoding.PEM) + authority.signer.public_bytes(Encoding.PEM)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + pem, (key, certificate)


@pytest.mark.parametrize("host", [*NAMES.dns, *NAMES.addresses])
def test_a_telephone_that_trusts_the_authority_believes_this_pc_under_each_of_its_names(tmp_path, authority, host):
    pem = server_issue(
        authority=authority, names=authority.names, validity=server_validity(NOW, authority=authority.validity)
    )
    said = handshake(tmp_path, pem=pem, anchor=authority.root, host=host)
    assert {value for _kind, value in said["subjectAltName"]} == {*NAMES.dns, *NAMES.addresses}


@pytest.mark.parametrize("host", [*OTHER_NAMES, *OTHER_ADDRESSES])
def test_a_thief_of_the_authoritys_key_can_be_nobody_else(tmp_path, authority, host):
    is_name = host in OTHER_NAMES
    pem, _ = certificate_of(authority, dns=(host,) if is_name else (), addresses=() if is_name else (host,))
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(tmp_path, pem=pem, anchor=authority.root, host=host)
    # Hidden beside a name that is permitted it is no better.
    pem, _ = certificate_of(
        authority, dns=(NAMES.dns[0], *((host,) if is_name else ())), addresses=() if is_name else (host,)
    )
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(tmp_path, pem=pem, anchor=authority.root, host=host)


def test_a_pc_without_a_name_can_vouch_for_no_name(tmp_path):
    nameless = authority_make(names=replace(NAMES, dns=()), validity=authority_validity(NOW))
    assert nameless.names == replace(NAMES, dns=())
    pem, _ = certificate_of(nameless, dns=("bank.tj",))
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree violation"):
        handshake(tmp_path, pem=pem, anchor=nameless.root, host="bank.tj")


def test_the_constraints_stand_below_the_anchor_too_whose_own_some_telephones_do_not_ask(authority):
    for certificate in (authority.root, authority.signer):
        found = certificate.extensions.get_extension_for_class(x509.NameConstraints)
        assert found.critical
        assert {str(each.value) for each in found.value.permitted_subtrees} == {
            *NAMES.dns,
            *(f"{address}/32" for address in NAMES.addresses),
        }


def test_the_key_that_telephones_trust_is_nowhere(authority):
    kept = authority_pem(authority)
    assert kept.count(b"PRIVATE KEY-----") == 2
    assert authority.key.public_key() == authority.signer.public_key() != authority.root.public_key()
    assert authority_parse(kept).fingerprint == authority.fingerprint


def test_a_thief_cannot_make_an_authority_of_another_authority(tmp_path, authority):
    chain, (key, certificate) = certificate_of(authority, dns=("sinf-5.local",), is_authority=True)
    below = replace(authority, key=key, signer=certificate)
    pem, _ = certificate_of(below, dns=("sinf-5.local",))
    pem += chain.partition(b"-----END PRIVATE KEY-----\n")[2]
    with pytest.raises(ssl.SSLCertVerificationError, match="path length constraint exceeded"):
        handshake(tmp_path, pem=pem, anchor=authority.root, host="sinf-5.local")


def test_the_authority_vouches_for_servers_alone(authority):
    usage = authority.signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert [each.dotted_string for each in usage] == ["1.3.6.1.5.5.7.3.1"]


@pytest.mark.parametrize(
    ("hostname", "hosts", "dns"),
    [
        ("sinf-5", ["*"], ("sinf-5.local",)),
        ("SINF-5.maktab.tj", ["Soro.Maktab.tj"], ("sinf-5.local", "soro.maktab.tj")),
        ("localhost", ["*"], ()),
        ("localhost.localdomain", ["10.0.0.5", "[::1]", "localhost"], ()),
        ("Синф", ["tj", ".tj", "*.tj", ".maktab.tj", "", "a..tj", "-a.tj"], ()),
        ("tj", ["*"], ("tj.local",)),
    ],
)
def test_only_whole_names_of_this_pc_are_its_names(hostname, hosts, dns):
    assert pc_names(hostname=hostname, hosts=hosts, addresses=()).dns == dns


def test_only_addresses_inside_the_school_are_its_addresses():
    given = ["192.168.1.20", "8.8.8.8", "10.0.0.5", "10.0.0.5", "", "localhost", "::", "224.0.0.1"]
    assert pc_names(hostname="x", hosts=(), addresses=given).addresses == ("10.0.0.5", "192.168.1.20")


def test_browsers_take_the_lifetimes(authority):
    validity = server_validity(NOW, authority=authority.validity)
    assert validity.ends_at - validity.begins_at <= timedelta(days=398)
    assert authority.validity.begins_at <= validity.begins_at < NOW
    late = server_validity(authority.validity.ends_at - DAY, authority=authority.validity)
    assert late.ends_at == authority.validity.ends_at
    # From that one on nothing better can be had.
    assert not is_renewal_due(late, now=late.ends_at - DAY, authority=authority.validity)


@pytest.mark.parametrize(
    ("age_days", "is_due"), [(-2, True), (0, False), (300, False), (305, False), (307, True), (500, True)]
)
def test_a_certificate_is_renewed_a_summer_before_its_end_and_when_it_is_of_the_future(age_days, is_due):
    authority = authority_validity(NOW)
    server = server_validity(NOW, authority=authority)
    assert is_renewal_due(server, now=NOW + age_days * DAY, authority=authority) is is_due


@pytest.mark.parametrize(
    ("word", "is_believable"),
    [
        (clock(), True),
        (clock(now=datetime(2010, 1, 1, tzinfo=UTC)), False),
        (clock(floor=NOW + timedelta(seconds=1)), False),
        (clock(off_seconds=3600.0), True),
        (clock(off_seconds=24 * 3600.0), False),
        (clock(off_seconds=-24 * 3600.0), False),
    ],
)
def test_a_clock_that_is_known_to_be_wrong_signs_nothing(tmp_path, word, is_believable):
    assert word.is_believable is is_believable
    if is_believable:
        switch_on(root=tmp_path, names=NAMES, clock=word, by="mudir")
        assert is_switched_on(tmp_path)
    else:
        with pytest.raises(HttpsClockWrong):
            switch_on(root=tmp_path, names=NAMES, clock=word, by="mudir")
        assert list(tmp_path.iterdir()) == []


def on(root):
    switch_on(root=root, names=NAMES, clock=clock(), by="mudir")
    return certificate_keep(root=root, now=NOW, clock_of=never)


def never():
    pytest.fail("nothing is due, and the clock was asked")


def test_only_the_owner_of_the_files_may_read_the_keys(tmp_path):
    on(tmp_path)
    assert (tmp_path / "https").stat().st_mode & 0o777 == 0o700
    for name in ("authority.pem", "server.pem"):
        assert (tmp_path / "https" / name).stat().st_mode & 0o777 == 0o600


def test_who_switched_and_when_is_kept_and_told(tmp_path, caplog):
    caplog.set_level("INFO")
    on(tmp_path)
    kept = switch_read(tmp_path)
    assert (kept.is_on, kept.changed_by, kept.changed_at) == (True, "mudir", NOW)
    switch_off(root=tmp_path, by="muovin", now=NOW + DAY)
    authority_forget(root=tmp_path, by="muovin")
    told = caplog.text
    assert "switched on by mudir" in told
    assert "switched off by muovin" in told
    assert "forgotten by muovin" in told
    assert "PRIVATE" not in told


def test_off_and_on_again_asks_nothing_of_telephones(tmp_path):
    on(tmp_path)
    before = authority_read(tmp_path).fingerprint
    switch_off(root=tmp_path, by="mudir", now=NOW)
    assert not is_switched_on(tmp_path)
    # Without a network, as after a cut, it opens again all the same.
    switch_on(root=tmp_path, names=PcNames(dns=(), addresses=()), clock=clock(now=NOW + DAY), by="mudir")
    assert authority_read(tmp_path).fingerprint == before


def test_forgetting_leaves_nothing_and_is_not_for_an_open_door(tmp_path):
    on(tmp_path)
    with pytest.raises(HttpsSwitchedOn):
        authority_forget(root=tmp_path, by="mudir")
    assert authority_read(tmp_path) is not None
    switch_off(root=tmp_path, by="mudir", now=NOW)
    authority_forget(root=tmp_path, by="mudir")
    authority_forget(root=tmp_path, by="mudir")
    assert list(tmp_path.iterdir()) == []


def test_a_pc_in_no_network_makes_no_authority(tmp_path):
    with pytest.raises(HttpsAddressMissing):
        switch_on(root=tmp_path, names=replace(NAMES, addresses=()), clock=clock(), by="mudir")
    assert list(tmp_path.iterdir()) == []


def test_a_certificate_is_renewed_by_itself_under_the_same_authority(tmp_path):
    path = on(tmp_path)
    first, later = path.read_bytes(), NOW + 310 * DAY
    assert certificate_keep(root=tmp_path, now=later, clock_of=lambda: clock(now=later)) == path
    server, signer = server_parse(path.read_bytes())
    assert path.read_bytes() != first
    assert server.not_valid_after_utc > later + 390 * DAY
    assert signer == authority_read(tmp_path).signer


@pytest.mark.parametrize(
    ("days", "word"),
    [
        # An empty battery: the clock is back before the authority was made, and nobody has signed a time since.
        (-2, {}),
        (310, {"off_seconds": 310 * 86400.0}),
        (310, {"floor": NOW + 400 * DAY}),
    ],
)
def test_a_wrong_clock_leaves_the_certificate_that_telephones_take(tmp_path, days, word):
    path = on(tmp_path)
    before, wrong = path.read_bytes(), NOW + days * DAY
    assert certificate_keep(root=tmp_path, now=wrong, clock_of=lambda: clock(now=wrong, **word)) == path
    assert path.read_bytes() == before


def test_what_a_clock_that_ran_ahead_has_signed_is_replaced_once_it_is_right(tmp_path):
    path = on(tmp_path)
    ahead = NOW + 1000 * DAY
    certificate_keep(root=tmp_path, now=ahead, clock_of=lambda: clock(now=ahead))
    assert server_parse(path.read_bytes())[0].not_valid_before_utc > NOW
    certificate_keep(root=tmp_path, now=NOW, clock_of=clock)
    assert server_parse(path.read_bytes())[0].not_valid_before_utc < NOW


@pytest.mark.parametrize("damage", [b"", b"x", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_damaged_certificate_is_issued_anew_and_a_damaged_authority_is_told(tmp_path, damage):
    path = on(tmp_path)
    path.write_bytes(damage)
    certificate_keep(root=tmp_path, now=NOW, clock_of=clock)
    assert server_parse(path.read_bytes())[1] == authority_read(tmp_path).signer
    served = path.read_bytes()
    (tmp_path / "https" / "authority.pem").write_bytes(damage)
    with pytest.raises(HttpsAuthorityUnreadable):
        certificate_keep(root=tmp_path, now=NOW, clock_of=clock)
    with pytest.raises(HttpsAuthorityUnreadable):
        switch_on(root=tmp_path, names=NAMES, clock=clock(), by="mudir")
    assert path.read_bytes() == served


def test_a_certificate_of_a_forgotten_authority_is_not_served(tmp_path):
    path = on(tmp_path)
    old = path.read_bytes()
    switch_off(root=tmp_path, by="mudir", now=NOW)
    authority_forget(root=tmp_path, by="mudir")
    on(tmp_path)
    path.write_bytes(old)
    certificate_keep(root=tmp_path, now=NOW, clock_of=clock)
    assert server_parse(path.read_bytes())[1] == authority_read(tmp_path).signer


def test_validity_is_read_back_as_it_was_given(authority):
    assert (
        authority.validity
        == authority_validity(NOW)
        == Validity(begins_at=NOW - DAY, ends_at=NOW - DAY + timedelta(days=3650))
    )
