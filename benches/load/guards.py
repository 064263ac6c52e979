"""What stands before the routes: who is let in, with which scope, how often. The same for every proxy, in its own words.

A token is verified (signature, issuer, audience, expiry), has to have the scope, its partner is held to a rate, and it is not
passed on. Identity comes before the limit: otherwise everybody could use up what another one may.
"""

import json
from dataclasses import dataclass

from tokens import AUDIENCE, ISSUER, PARTNERS, SCOPE

_PERIODS = {1: "s", 3600: "h"}


@dataclass(frozen=True)
class Guard:
    """Tokens of one algorithm, and so many requests in a period for each partner; without an algorithm nobody is asked
    who they are, and the limit is one of each client address.
    """
    algorithm: str
    permits: int = 1_000_000
    seconds: int = 1


def sluice(guard, setting):
    """Top-level parts of routes.yaml, and what each route has."""
    if guard is None:
        return "", "auth: none"
    rate = f"{guard.permits}/{_PERIODS[guard.seconds]}"
    if not guard.algorithm:
        return "", f"auth: none, rate_limit: {{per: address, rate: {rate}}}"
    issuer = setting.issuer(guard.algorithm)
    keys = f'secret: "file:{issuer.secret}"' if guard.algorithm == "HS256" else f'jwks: {{file: "{issuer.jwks}"}}'
    return "\n".join([
        "issuers:",
        f'  bench: {{issuer: "{ISSUER}", audiences: [{AUDIENCE}], {keys}, algorithms: [{guard.algorithm}]}}',
        "plans:",
        f"  bench: {{rate_limit: {rate}}}",
        "partners:",
        *(f"  {partner}: {{plan: bench}}" for partner in PARTNERS),
    ]), f'auth: {{issuer: bench, scopes: {{all_of: ["{SCOPE}"]}}}}'


def haproxy(guard, setting):
    """Lines of the frontend, and the table that counts. The claims are decoded once: each `jwt_payload_query` would do it
    again (and without a path 2.6.12 answers nothing).
    """
    if guard is None:
        return "", ""
    period = f"{guard.seconds}s"
    over = f"http-request return status 429 if {{ sc_http_req_rate(0) gt {guard.permits} }}"
    if not guard.algorithm:
        lines = ["http-request track-sc0 src table callers", over]
        return "\n    ".join(lines), _table(f"type ip size 100k expire 2h store http_req_rate({period})")
    issuer = setting.issuer(guard.algorithm)
    key = issuer.secret.read_text(encoding="ascii") if guard.algorithm == "HS256" else issuer.public
    refuse = "http-request return status 401 hdr WWW-Authenticate Bearer unless"
    lines = [
        "http-request set-var(txn.token) http_auth_bearer",
        f'{refuse} {{ var(txn.token),jwt_verify("{guard.algorithm}","{key}") 1 }}',
        "http-request set-var(txn.claims) var(txn.token),word(2,.),ub64dec",
        "http-request set-var(txn.now) date",
        f"{refuse} {{ var(txn.claims),json_query('$.iss') -m str {ISSUER} }}"
        f" {{ var(txn.claims),json_query('$.aud') -m str {AUDIENCE} }}"
        " { var(txn.claims),json_query('$.exp','int'),sub(txn.now) gt 0 }",
        "http-request return status 403 unless"
        f" {{ var(txn.claims),json_query('$.scope') -m reg '(^| ){SCOPE}( |$)' }}",
        "http-request track-sc0 var(txn.claims),json_query('$.azp') table callers",
        over,
        "http-request del-header authorization",
    ]
    return "\n    ".join(lines), _table(f"type string len 32 size 100k expire 2h store http_req_rate({period})")


def _table(of):
    return f"backend callers\n    stick-table {of}"


def nginx(guard):
    """Without tokens, which it cannot verify: a limit, by the field that tells callers apart."""
    if guard is None:
        return ""
    if guard.seconds < 60:
        raise ValueError("nginx cannot verify tokens: it has a part in refusals by a limit only")
    key = "$http_authorization" if guard.algorithm else "$binary_remote_addr"
    # A minute is its longest period.
    return "\n    ".join([
        f"limit_req_zone {key} zone=callers:10m rate={guard.permits}r/m;",
        "limit_req zone=callers;",
        "limit_req_status 429;",
        "limit_req_log_level info;",
    ])


def envoy(guard, setting):
    """Filters before the router, one a line: JSON is YAML."""
    if guard is None:
        return ""
    filters = [_local_ratelimit(guard)]
    if guard.algorithm:
        filters = [_jwt_authn(setting.issuer(guard.algorithm)), _rbac(), *filters]
    return "\n".join(f"                  - {json.dumps(each)}" for each in filters)


_EXTENSIONS = "type.googleapis.com/envoy.extensions.filters.http"
_CLAIMS = {"key": "envoy.filters.http.jwt_authn"}


def _jwt_authn(issuer):
    return {"name": "envoy.filters.http.jwt_authn", "typed_config": {
        "@type": f"{_EXTENSIONS}.jwt_authn.v3.JwtAuthentication",
        "providers": {"bench": {
            "issuer": ISSUER,
            "audiences": [AUDIENCE],
            "require_expiration": True,
            "local_jwks": {"filename": str(issuer.jwks)},
            "payload_in_metadata": "claims",
            # Its 100 would be too few: going through more of them in a circle would miss every time.
            "jwt_cache_config": {"jwt_cache_size": 10 * len(PARTNERS)},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "bench"}}],
    }}


def _rbac():
    has_scope = {"safe_regex": {"regex": f"(.* )?{SCOPE}( .*)?"}}
    return {"name": "envoy.filters.http.rbac", "typed_config": {
        "@type": f"{_EXTENSIONS}.rbac.v3.RBAC",
        "rules": {"action": "ALLOW", "policies": {"scope": {
            "permissions": [{"any": True}],
            "principals": [{"metadata": {
                "filter": _CLAIMS["key"],
                "path": [{"key": "claims"}, {"key": "scope"}],
                "value": {"string_match": has_scope},
            }}],
        }}},
    }}


def _local_ratelimit(guard):
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    bucket = {"max_tokens": guard.permits, "tokens_per_fill": guard.permits, "fill_interval": f"{guard.seconds}s"}
    if guard.algorithm:
        action = {"metadata": {
            "descriptor_key": "partner", "source": "DYNAMIC",
            "metadata_key": {**_CLAIMS, "path": [{"key": "claims"}, {"key": "azp"}]}}}
        descriptors = [{"entries": [{"key": "partner", "value": partner}], "token_bucket": bucket} for partner in PARTNERS]
    else:
        action = {"remote_address": {}}
        descriptors = [{"entries": [{"key": "remote_address", "value": "127.0.0.1"}], "token_bucket": bucket}]
    return {"name": "envoy.filters.http.local_ratelimit", "typed_config": {
        "@type": f"{_EXTENSIONS}.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "callers",
        "filter_enabled": always,
        "filter_enforced": always,
        "always_consume_default_token_bucket": False,
        # What has no bucket of its own: nobody here.
        "token_bucket": {"max_tokens": 1_000_000, "tokens_per_fill": 1_000_000, "fill_interval": "1s"},
        "rate_limits": [{"actions": [action]}],
        "descriptors": descriptors,
    }}
