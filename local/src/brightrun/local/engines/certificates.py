"""Certificates by which the parts of one store know one another: an authority of this installation, and one for all."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from brightrun.local.installation import write_private

CA, CERTIFICATE, KEY = "ca.pem", "certificate.pem", "key.pem"
VALID_FOR = timedelta(days=36_500)


def ensure_certificates(folder: Path) -> None:
    """Create them on first use. The authority's key is not kept: nobody can issue another certificate."""
    if (folder / KEY).exists():
        return
    # Imported on the first start only.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "BrightRun store authority")])
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "BrightRun store")])
    now, pem = datetime.now(UTC), serialization.Encoding.PEM
    for name, public_key, file in ((issuer, authority.public_key(), CA), (subject, key.public_key(), CERTIFICATE)):
        builder = x509.CertificateBuilder(issuer, name, public_key, x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + VALID_FOR)
        builder = builder.add_extension(x509.BasicConstraints(file == CA, None), critical=True)
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        write_private(folder / file, builder.sign(authority, hashes.SHA256()).public_bytes(pem))
    plain = serialization.NoEncryption()
    write_private(folder / KEY, key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
