//! Every way a request can end badly: one closed list for answers, logs and metrics.

/// Who has to act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The request was wrong or not allowed.
    Client,
    /// The gateway's configuration or state.
    Gateway,
    /// The service behind the gateway.
    Upstream,
}

macro_rules! reasons {
    ($( $variant:ident $name:literal $status:literal $origin:ident $detail:literal $next:literal; )*) => {
        /// Why a request was refused or failed. The string form is stable: it is the metric label, the log field,
        /// the `reason` member and the end of the `type` of a problem document (RFC 9457).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Reason { $( #[doc = $detail] $variant, )* }

        impl Reason {
            /// All of them, in the order of a request's way.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            /// The stable code.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $( Self::$variant => $name, )* } }

            /// The HTTP status that a client sees, as long as no answer has begun.
            #[must_use]
            pub const fn status(self) -> u16 { match self { $( Self::$variant => $status, )* } }

            #[must_use]
            pub const fn origin(self) -> Origin { match self { $( Self::$variant => Origin::$origin, )* } }

            /// What happened, for the client.
            #[must_use]
            pub const fn detail(self) -> &'static str { match self { $( Self::$variant => $detail, )* } }

            /// What to do next, for whoever reads the documentation.
            #[must_use]
            pub const fn next_step(self) -> &'static str { match self { $( Self::$variant => $next, )* } }
        }
    };
}

reasons! {
    RequestMalformed "REQUEST_MALFORMED" 400 Client "The request head is not valid HTTP." "Send a request that follows RFC 9112; the detail names what is wrong.";
    RequestFraming "REQUEST_FRAMING" 400 Client "The length of the request body is ambiguous or invalid." "Send one Content-Length or `Transfer-Encoding: chunked`, never both (RFC 9112 section 6).";
    HostInvalid "HOST_INVALID" 400 Client "The Host field is missing, repeated or not a host." "Send exactly one valid Host field (RFC 9110 section 7.2).";
    PathInvalid "PATH_INVALID" 400 Client "The request path has a form that is not accepted." "Remove encoded slashes, NUL and broken percent-encoding, and do not climb above the root.";
    VersionUnsupported "VERSION_UNSUPPORTED" 505 Client "This HTTP version is not supported." "Use HTTP/1.1 or HTTP/2.";
    MethodUnsupported "METHOD_UNSUPPORTED" 501 Client "This method is not supported." "CONNECT and TRACE are not served by this gateway.";
    ExpectationFailed "EXPECTATION_FAILED" 417 Client "The expectation cannot be met." "Only `Expect: 100-continue` is known.";
    UriTooLong "URI_TOO_LONG" 414 Client "The request target is too long." "Shorten the path or the query, or send data in the body.";
    HeadersTooLarge "HEADERS_TOO_LARGE" 431 Client "The request header fields are too large or too many." "Send fewer or smaller fields; look at cookies first.";
    HeadTimeout "HEAD_TIMEOUT" 408 Client "The request head did not arrive in time." "Send the whole head at once; check the network.";
    RouteNotFound "ROUTE_NOT_FOUND" 404 Client "No route matches this request." "Check host, path and required fields; `sluice explain` shows why the nearest routes lost.";
    MethodNotAllowed "METHOD_NOT_ALLOWED" 405 Client "The path exists, but not for this method." "Use one of the methods in the Allow field.";
    RouteFaulty "ROUTE_FAULTY" 503 Gateway "This route is closed because its configuration has an error." "Operators: `/status` and `sluice check` show the error; the rest of the routes are live.";
    Misdirected "MISDIRECTED" 421 Client "This connection was made for another host name." "Open a connection whose TLS server name (SNI) is the host that you ask for.";
    AddressDenied "ADDRESS_DENIED" 403 Client "Calls from this address are not allowed here." "Call from an agreed address; operators: `addresses` of the route, `client_address.trusted_proxies`.";
    CredentialMissing "CREDENTIAL_MISSING" 401 Client "This route needs a credential, and the request has none that it accepts." "Send a bearer token, an API key or a client certificate, as agreed.";
    CredentialRepeated "CREDENTIAL_REPEATED" 400 Client "The request has more than one credential of a kind." "Send one credential, in one place (RFC 6750 section 2).";
    JwtMalformed "JWT_MALFORMED" 401 Client "The token is not a signed JSON Web Token of a form that is accepted." "Send the token as the issuer gave it; the detail names what is wrong.";
    JwtIssuer "JWT_ISSUER" 401 Client "The token is from an issuer that this route does not accept." "Get a token from the agreed issuer; operators: `issuer` of the route and its `issuer`.";
    JwtAlgorithm "JWT_ALGORITHM" 401 Client "The token is signed by an algorithm that its issuer does not use." "Get a new token; operators: `algorithms` of the issuer.";
    JwtType "JWT_TYPE" 401 Client "This kind of token is no access token." "Send an access token, not an ID token; operators: `types` of the issuer.";
    JwtKeyUnknown "JWT_KEY_UNKNOWN" 401 Client "The token is signed with a key that its issuer does not publish." "Get a new token; operators: `/status` shows the keys of each issuer.";
    JwtSignature "JWT_SIGNATURE" 401 Client "The signature of the token is wrong." "Send the token unchanged, or get a new one.";
    JwtExpired "JWT_EXPIRED" 401 Client "The token has expired." "Get a new token and send the request again.";
    JwtNotYetValid "JWT_NOT_YET_VALID" 401 Client "The token is not valid yet." "Check the clock of whoever issued it; operators: `leeway` of the issuer.";
    JwtAudience "JWT_AUDIENCE" 401 Client "The token is meant for somebody else." "Ask the issuer for a token for this service; operators: `audiences` of the issuer.";
    JwtClaims "JWT_CLAIMS" 401 Client "A claim that the token has to have is missing or of the wrong type." "Get a new token; the detail names the claim.";
    ApiKeyUnknown "API_KEY_UNKNOWN" 401 Client "The API key is not known." "Send the key whole and unchanged, or ask for a new one.";
    ApiKeyExpired "API_KEY_EXPIRED" 401 Client "The API key has expired." "Use the key that replaced it, or ask for a new one.";
    CertificateUnknown "CERTIFICATE_UNKNOWN" 403 Client "The client certificate belongs to no partner." "Use the agreed certificate; operators: `certificates` of the partner.";
    CertificateExpired "CERTIFICATE_EXPIRED" 403 Client "The client certificate is not valid at this time." "Renew the certificate and connect anew.";
    CredentialRevoked "CREDENTIAL_REVOKED" 401 Client "The credential has been revoked." "Get a new one from whoever issued it.";
    KeysUnavailable "KEYS_UNAVAILABLE" 503 Gateway "The keys that tokens are verified with could not be fetched yet." "Retry later; operators: `/status` says why the issuer's keys cannot be had.";
    PartnerUnknown "PARTNER_UNKNOWN" 403 Client "The credential is good, but belongs to no partner that is known here." "Ask to be enrolled; operators: `partners`, and `claims.partner` of the issuer.";
    PartnerDisabled "PARTNER_DISABLED" 403 Client "This partner's access is switched off." "Ask whoever runs this service.";
    PartnerDenied "PARTNER_DENIED" 403 Client "This partner may not use this route." "Ask for access; operators: `auth.partners` of the route.";
    ScopeMissing "SCOPE_MISSING" 403 Client "The credential lacks a scope that this route needs." "Get a token with the scope that the detail names.";
    ClaimDenied "CLAIM_DENIED" 403 Client "A claim of the token does not meet the conditions of this route." "Ask for access; the detail names the claim.";
    RateLimited "RATE_LIMITED" 429 Client "Too many requests." "Wait as long as `Retry-After` says, and spread requests.";
    QuotaExceeded "QUOTA_EXCEEDED" 429 Client "The quota of this period is used up." "Wait for the next period, as `Retry-After` says, or ask for a larger quota.";
    ConcurrencyLimited "CONCURRENCY_LIMITED" 429 Client "Too many requests at the same time." "Wait for answers before sending more.";
    Anomalous "ANOMALOUS" 403 Client "The request is too unusual for its caller and this route." "Ask whoever runs this service; operators: `anomaly` of the route, and `anomaly_why` in the access log.";
    AnomalyThrottled "ANOMALY_THROTTLED" 429 Client "Requests of this caller were unusual, so that fewer are taken for a while." "Wait as long as `Retry-After` says; operators: `anomaly` of the route.";
    ReauthenticationRequired "REAUTHENTICATION_REQUIRED" 401 Client "Requests of this caller were unusual: a credential that was issued since is needed." "Authenticate anew and send the request again (RFC 9470).";
    OnlyIfCached "ONLY_IF_CACHED" 504 Gateway "The request takes nothing but a stored answer, and there is none that it may have." "Send the request without `only-if-cached` (RFC 9111 section 5.2.1.7).";
    BodyTooLarge "BODY_TOO_LARGE" 413 Client "The request body is larger than this route accepts." "Send a smaller body, or raise `max_body` of the route.";
    BodyTimeout "BODY_TIMEOUT" 408 Client "The request body stopped arriving." "Send the body without long pauses; check the network.";
    ClientClosed "CLIENT_CLOSED" 499 Client "The client went away before the answer was complete." "Nothing, or raise the client's own time-out.";
    ConnectionLimit "CONNECTION_LIMIT" 503 Gateway "The gateway has too many open connections." "Retry later; operators: raise `limits.connections` or add replicas.";
    UpstreamUnavailable "UPSTREAM_UNAVAILABLE" 503 Upstream "No endpoint of the service behind this route can be used." "Retry later; operators: check that its names resolve and that it runs.";
    UpstreamConnect "UPSTREAM_CONNECT" 502 Upstream "The service behind this route refused the connection." "Retry later; operators: check that it listens where the endpoint says.";
    UpstreamConnectTimeout "UPSTREAM_CONNECT_TIMEOUT" 504 Upstream "The service behind this route did not accept a connection in time." "Retry later; operators: check network and `timeouts.connect`.";
    UpstreamTls "UPSTREAM_TLS" 502 Upstream "The secure connection to the service behind this route failed." "Operators: check its certificate against `tls.ca` and `tls.server_name` of the upstream.";
    UpstreamTimeout "UPSTREAM_TIMEOUT" 504 Upstream "The service behind this route did not begin to answer in time." "Retry if the request is safe to repeat; operators: `timeouts.first_byte`.";
    UpstreamIdle "UPSTREAM_IDLE" 504 Upstream "The service behind this route stopped sending." "Retry if the request is safe to repeat; operators: `timeouts.idle`.";
    RequestTimeout "REQUEST_TIMEOUT" 504 Upstream "The request took longer than this route allows." "Ask for less at once; operators: `timeouts.total`.";
    UpstreamReset "UPSTREAM_RESET" 502 Upstream "The service behind this route closed the connection before its answer was complete." "Retry if the request is safe to repeat.";
    UpstreamProtocol "UPSTREAM_PROTOCOL" 502 Upstream "The service behind this route sent an answer that is not valid HTTP." "Operators: look at the service's own log.";
    Draining "DRAINING" 503 Gateway "This gateway instance is shutting down." "Retry at once; another instance answers.";
    Internal "INTERNAL" 500 Gateway "The gateway failed; this is a defect." "Report it with the request id.";
}

impl Reason {
    /// The `grpc-status` of this reason, for callers that speak gRPC. Only `UNAVAILABLE` invites a retry.
    #[must_use]
    pub const fn grpc_status(self) -> GrpcStatus {
        match self {
            Self::ClientClosed => GrpcStatus::Cancelled,
            Self::RequestMalformed
            | Self::RequestFraming
            | Self::HostInvalid
            | Self::PathInvalid
            | Self::CredentialRepeated
            | Self::ExpectationFailed => GrpcStatus::InvalidArgument,
            Self::HeadTimeout
            | Self::BodyTimeout
            | Self::UpstreamTimeout
            | Self::UpstreamIdle
            | Self::RequestTimeout => GrpcStatus::DeadlineExceeded,
            Self::UriTooLong
            | Self::HeadersTooLarge
            | Self::BodyTooLarge
            | Self::RateLimited
            | Self::QuotaExceeded
            | Self::ConcurrencyLimited
            | Self::AnomalyThrottled => GrpcStatus::ResourceExhausted,
            Self::CredentialMissing
            | Self::JwtMalformed
            | Self::JwtIssuer
            | Self::JwtAlgorithm
            | Self::JwtType
            | Self::JwtKeyUnknown
            | Self::JwtSignature
            | Self::JwtExpired
            | Self::JwtNotYetValid
            | Self::JwtAudience
            | Self::JwtClaims
            | Self::ApiKeyUnknown
            | Self::ApiKeyExpired
            | Self::CertificateUnknown
            | Self::CertificateExpired
            | Self::CredentialRevoked
            | Self::ReauthenticationRequired => GrpcStatus::Unauthenticated,
            Self::AddressDenied
            | Self::PartnerUnknown
            | Self::PartnerDisabled
            | Self::PartnerDenied
            | Self::ScopeMissing
            | Self::ClaimDenied
            | Self::Anomalous => GrpcStatus::PermissionDenied,
            // gRPC clients read an unknown path as an unknown method, and 404 as UNIMPLEMENTED.
            Self::VersionUnsupported
            | Self::MethodUnsupported
            | Self::RouteNotFound
            | Self::MethodNotAllowed
            | Self::OnlyIfCached => GrpcStatus::Unimplemented,
            Self::UpstreamProtocol | Self::Internal => GrpcStatus::Internal,
            Self::RouteFaulty
            | Self::Misdirected
            | Self::KeysUnavailable
            | Self::ConnectionLimit
            | Self::UpstreamUnavailable
            | Self::UpstreamConnect
            | Self::UpstreamConnectTimeout
            | Self::UpstreamTls
            | Self::UpstreamReset
            | Self::Draining => GrpcStatus::Unavailable,
        }
    }
}

/// The status codes of gRPC that a gateway answers with; the number is what goes over the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum GrpcStatus {
    Cancelled = 1,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    Unauthenticated = 16,
}

impl GrpcStatus {
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cancelled => "CANCELLED",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::Unauthenticated => "UNAUTHENTICATED",
        }
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_statuses_fit_their_origin() {
        let codes: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            let client_fault = (400..500).contains(&reason.status()) || matches!(reason.status(), 501 | 505);
            assert_eq!(client_fault, reason.origin() == Origin::Client, "{reason}");
        }
    }
}
