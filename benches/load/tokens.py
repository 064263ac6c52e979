"""Issuers made for the run, and tokens signed by them: good ones, and every kind of bad one.

RSA and ECDSA are done by the openssl command, so that nothing has to be installed for it.
"""

import base64
import functools
import hashlib
import hmac
import json
import os
import random
import subprocess
import time

import processes

ISSUER, AUDIENCE, SCOPE = "https://bench.example/", "bench", "orders:read"
ALGORITHMS = ("RS256", "ES256", "HS256")
# One token each.
PARTNERS = tuple(f"p{number:03}" for number in range(200))

_KEYS = {
    "RS256": ("-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"),
    "ES256": ("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"),
}
_DAY = 86400


class Issuer:
    """One key of one algorithm. In its folder: `jwks.json`, and `public.pem` or, for HS256, `secret.txt`."""

    def __init__(self, folder, algorithm):
        folder.mkdir(parents=True)
        self.folder, self.algorithm = folder, algorithm
        self.key, self.public, self.jwks, self.secret = (
            folder / name for name in ("key.pem", "public.pem", "jwks.json", "secret.txt"))
        if algorithm == "HS256":
            self.secret.write_text(os.urandom(32).hex(), encoding="ascii")
        else:
            _openssl("genpkey", *_KEYS[algorithm], "-out", self.key)
            _openssl("pkey", "-in", self.key, "-pubout", "-out", self.public)
        jwk = {"kid": "bench", "use": "sig", "alg": algorithm, **self._jwk()}
        self.jwks.write_text(json.dumps({"keys": [jwk]}), encoding="ascii")

    def _jwk(self):
        if self.algorithm == "HS256":
            return {"kty": "oct", "k": _base64url(self.secret.read_bytes())}
        if self.algorithm == "RS256":
            modulus = _openssl("rsa", "-pubin", "-in", self.public, "-noout", "-modulus").decode().strip()
            return {"kty": "RSA", "n": _base64url(bytes.fromhex(modulus.removeprefix("Modulus="))), "e": "AQAB"}
        # A SubjectPublicKeyInfo ends with the two coordinates.
        point = _openssl("pkey", "-pubin", "-in", self.public, "-outform", "DER")[-64:]
        return {"kty": "EC", "crv": "P-256", "x": _base64url(point[:32]), "y": _base64url(point[32:])}

    def token(self, partner=PARTNERS[0], header=None, **claims):
        """A good one, unless `header` or `claims` say otherwise; a member that is None is left out."""
        now = int(time.time())
        payload = {
            "iss": ISSUER, "sub": f"user-{partner}", "aud": AUDIENCE, "exp": now + _DAY, "iat": now,
            "jti": f"{partner}-{now}", "azp": partner, "scope": f"profile {SCOPE} orders:write",
            **claims,
        }
        header = {"alg": self.algorithm, "typ": "JWT", "kid": "bench", **(header or {})}
        signed = f"{_part(header)}.{_part(payload)}"
        return f"{signed}.{_base64url(self._sign(signed.encode()))}"

    def _sign(self, text):
        if self.algorithm == "HS256":
            return hmac.digest(self.secret.read_bytes(), text, hashlib.sha256)
        signature = _openssl("dgst", "-sha256", "-sign", self.key, input=text)
        return signature if self.algorithm == "RS256" else _raw(signature)

    @functools.cached_property
    def good(self):
        """A file of one token for each partner, one a line."""
        return self._file("good", [self.token(partner) for partner in PARTNERS])

    @functools.cached_property
    def forged(self):
        """The same tokens with other signatures."""
        return self._file("forged", map(forge, self.good.read_text(encoding="ascii").split()))

    def _file(self, name, tokens):
        path = self.folder / f"{name}.txt"
        path.write_text("".join(f"{token}\n" for token in tokens), encoding="ascii")
        return path


def forge(token):
    """As long as the right signature, and to be computed to the end: below an RSA modulus, which has its top bit set, and
    within the order of P-256.
    """
    signed, _, signature = token.rpartition(".")
    length = len(_decode(signature))
    if length == 32:
        return f"{signed}.{_base64url(random.randbytes(length))}"
    parts = 2 if length == 64 else 1
    halves = (bytes([random.randrange(1, 0x80)]) + random.randbytes(length // parts - 1) for _ in range(parts))
    return f"{signed}.{_base64url(b''.join(halves))}"


def bad(issuer, other):
    """What nobody may let pass, by what is wrong with it; `other` is an issuer with another key."""
    good = issuer.token()
    header, payload, signature = good.split(".")
    more = _part({**json.loads(_decode(payload)), "azp": PARTNERS[1]})
    return {
        "a forged signature": forge(good),
        "the signature of another token": f"{header}.{more}.{signature}",
        "another's key": other.token(),
        "no signature": f"{header}.{payload}.",
        "alg none": f"{_part({'alg': 'none', 'typ': 'JWT'})}.{payload}.",
        "an exp in the past": issuer.token(exp=int(time.time()) - _DAY),
        "another issuer": issuer.token(iss="https://other.example/"),
        "another audience": issuer.token(aud="other"),
        "half a token": good[: len(good) // 2],
    }


def without_scope(issuer):
    """Tokens that are good but do not have the scope, however much it looks like it."""
    return {
        "no scope": issuer.token(scope=None),
        "another scope": issuer.token(scope="profile orders:write"),
        "a scope that begins like it": issuer.token(scope=f"profile {SCOPE}-all"),
        "a scope that ends like it": issuer.token(scope=f"profile all-{SCOPE}"),
    }


def _openssl(*arguments, input=None):
    done = subprocess.run([processes.find("openssl"), *arguments], input=input, check=True, capture_output=True)
    return done.stdout


def _raw(der):
    """r and s, 32 bytes each (RFC 7518 §3.4), of an ECDSA-Sig-Value (RFC 3279 §2.2.3)."""
    numbers, at = b"", 2
    for _ in range(2):
        length = der[at + 1]
        numbers += der[at + 2:at + 2 + length].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + length
    return numbers


def _part(members):
    present = {name: value for name, value in members.items() if value is not None}
    return _base64url(json.dumps(present, separators=(",", ":")).encode())


def _base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
