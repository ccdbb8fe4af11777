"""The protocol's layouts a second time, from their descriptions alone: prints tests/golden.txt.

    python3 golden.py > golden.txt          needs the package `cryptography`, 45 or newer
"""

import base64
import hashlib
import hmac as mac

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

FQDN, PEER = b"laptop.acme.example", b"printer.acme.example"
NOW = 1_760_000_000_000


def u(number, octets):
    return number.to_bytes(octets, "big")


def hmac(key, data):
    return mac.new(key, data, hashlib.sha256).digest()


def sha256(data):
    return hashlib.sha256(data).digest()


def hkdf(salt, secret, info, length=32):
    """RFC 5869, by hand."""
    extracted, out, block = hmac(salt or bytes(32), secret), b"", b""
    for counter in range(1, 3):
        block = hmac(extracted, block + info + bytes([counter]))
        out += block
    return out[:length]


def say(name, octets):
    print(name, octets.hex() if isinstance(octets, bytes) else octets)


def named(name):
    return u(len(name), 2) + name


def seal(key, nonce, aad, plain):
    return nonce + AESGCM(key).encrypt(nonce, plain, aad)


def argon2(memory, passes, lanes):
    return Argon2id(salt=bytes([7] * 16), length=32, iterations=passes, lanes=lanes, memory_cost=memory).derive(b"initial")


nonce = bytes(range(12))
token = bytes([1] * 32)
auth = hkdf(b"", token, b"kith auth 1")
ticket = hkdf(b"", token, b"kith ticket 1")
key_id = hmac(ticket, b"kith ticket key id 1")[:8]
code = sha256(b"kith code 1" + named(FQDN) + b"12345678")
say("password_key", argon2(19 * 1024, 2, 1))
say("auth_key", auth)
say("ticket_key", ticket)
say("code_hash", code)

fields = named(FQDN) + u(NOW, 8)
say("join_authenticator", hmac(auth, b"kith member 1" + bytes([4]) + fields + b"payload"))
say("confirm_authenticator", hmac(auth, b"kith member 1" + bytes([2]) + fields + code + b"payload"))
device = Ed25519PrivateKey.from_private_bytes(bytes([9] * 32))
say("join_signature", device.sign(b"kith member signature 1" + bytes([4]) + fields + b"payload"))

ours, theirs = (X25519PrivateKey.from_private_bytes(bytes([octet] * 32)) for octet in (1, 2))
m, M = (share.public_key().public_bytes_raw() for share in (ours, theirs))
shared = ours.exchange(X25519PublicKey.from_public_bytes(M))
file_key = hkdf(sha256(m + M), shared, b"kith registration 1" + FQDN)
say("member_share", m)
say("file_key", file_key)
say(
    "ack_authenticator",
    hmac(token, b"kith register ack 1" + sha256(m) + u(600, 4) + sha256(M) + b"a@acme.example"),
)

salt = sha256(bytes([5] * 32)) + sha256(bytes([6] * 32))
for name in ("join", "refresh"):
    secret = hkdf(salt, shared, f"kith {name} 1".encode() + named(FQDN) + bytes([7] * 16))
    say(f"{name}_secret", secret)
    say(f"{name}_to_manager", hkdf(b"", secret, b"kith channel 1\x01", 36))
    say(f"{name}_to_member", hkdf(b"", secret, b"kith channel 1\x02", 36))

pair = hkdf(b"", token, b"kith pair 1" + b"".join(u(n, 8) for n in (1, 5, 2, 4, 7)))
say("pair_key", pair)
body = bytes([1, 24, len(FQDN), len(PEER), 0, 0, 0, 0]) + u(NOW * 1000, 8) + u(NOW, 8) + u(NOW + 3_600_000, 8) + pair
body += bytes([10, 77, 0, 3]) + bytes([10, 77, 0, 2]) + bytes([203, 0, 113, 10]) + bytes([240, 0, 0, 7])
body += u(20202, 2) + u(0, 2) + bytes([192, 168, 1, 10]) + bytes(8) + FQDN + PEER
body += bytes(-len(body) % 16)
header = b"KTK1" + key_id
say("ticket", header + seal(ticket, nonce, b"kith ticket 1" + header + PEER, body))
header = b"KSK1" + key_id
body = u(NOW * 1000, 8) + u(NOW, 8) + u(NOW + 3_600_000, 8) + pair + bytes([10, 77, 0, 3]) + bytes([10, 77, 0, 2])
say("sealed_key", header + seal(ticket, nonce, b"kith ticket 1" + header + FQDN + b"\0" + PEER, body))

host = b"vpn.acme.example"
content = u(443, 2) + bytes([4] * 32) + bytes(range(16)) + bytes(range(16, 32))
content += bytes([len(host)]) + host + bytes([len(FQDN)]) + FQDN
content += sha256(b"kith invitation 1" + content)[:4]
say("invitation", "kith1-" + base64.urlsafe_b64encode(content).rstrip(b"=").decode())
