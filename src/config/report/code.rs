//! The stable codes of configuration mistakes: one table for messages, documentation and tests.

/// Whether a finding stops the configuration from being used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

impl Severity {
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

macro_rules! codes {
    ($( $variant:ident $code:literal $meaning:literal; )*) => {
        /// What kind of mistake. A code is never given a second meaning; one that is no longer used stays reserved.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code { $( #[doc = $meaning] $variant, )* }

        impl Code {
            /// All of them, by number.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )*];

            /// `E` for errors and `W` for warnings, and four digits.
            #[must_use]
            pub const fn as_str(self) -> &'static str { match self { $( Self::$variant => $code, )* } }

            /// One line for the documentation.
            #[must_use]
            pub const fn meaning(self) -> &'static str { match self { $( Self::$variant => $meaning, )* } }
        }
    };
}

codes! {
    Syntax "E0101" "The file is not valid YAML.";
    UnknownKey "E0102" "A key is not known at this place.";
    DuplicateKey "E0103" "A key is written twice in the same mapping.";
    MissingKey "E0104" "A required key is missing.";
    WrongType "E0105" "A value has the wrong type, such as a number where text is expected.";
    Version "E0106" "The `version` of the file is not one that this program reads.";
    YamlLimit "E0107" "The file goes beyond what is accepted: size, nesting, tags, several documents, or too many repeated aliases.";
    Templating "E0108" "Text contains `${`; there is no templating, and no secret can be referred to at this place.";
    Unreadable "E0109" "The file, or one that it names, cannot be read.";
    EmptyList "E0110" "A list that needs at least one entry is empty.";
    EmptyText "E0111" "Text that has to say something is empty.";
    Duration "E0201" "A duration is not a number with a unit.";
    Size "E0202" "A size is not a whole number with a unit.";
    OutOfRange "E0203" "A number, duration or size is outside the range that makes sense.";
    Address "E0204" "An address to listen on is not `IP:port`.";
    Network "E0205" "A network is not in CIDR notation.";
    HostPattern "E0206" "A host pattern is neither a name, `*.` and a name, nor `*`.";
    PathPattern "E0207" "A path pattern is malformed.";
    Method "E0208" "A request method is malformed, in lower case, or never served.";
    HeaderName "E0209" "A header name is not a token of RFC 9110.";
    HeaderValue "E0210" "A header value has characters that a header cannot carry.";
    Status "E0211" "A status code cannot be used here.";
    Choice "E0212" "A value is not one of those that can be chosen here.";
    Template "E0213" "A location or rewritten path is malformed.";
    Name "E0214" "A name has characters that names cannot have, or is too long.";
    Endpoint "E0215" "An endpoint is not `host:port`.";
    QueryName "E0216" "A query parameter has no name.";
    Rate "E0217" "A rate is not so many in so long, such as `100/s`.";
    Quota "E0218" "A quota is not so many in a calendar period, such as `1000/day`.";
    Date "E0219" "A point in time is neither a date nor RFC 3339, is not in the calendar, or is before 1970.";
    Digest "E0220" "A SHA-256 is not written in 64 hexadecimal digits.";
    Regex "E0221" "A regular expression is malformed or too large.";
    ClaimPath "E0222" "A claim has no name, or its JSON pointer (RFC 6901) is malformed.";
    Scope "E0223" "A scope has characters that scopes cannot have (RFC 6749 section 3.3).";
    IpAddress "E0224" "Text is not an IP address.";
    JwksUrl "E0225" "The address of a key set is not `https`, or not a URL without user and fragment.";
    CookieName "E0226" "The name of a cookie is not a token of RFC 6265.";
    CertificateName "E0227" "What tells a client certificate is malformed, or there is not exactly one of it.";
    ApiKeyId "E0228" "The id of an API key has characters that ids cannot have.";
    Request "E0229" "The request of a test is not a method and a target.";
    Percent "E0230" "A part is not a number of percent that can be written here, such as `10%` or `0.5%`.";
    ListenerName "E0301" "Two listeners have the same name.";
    ListenerAddress "E0302" "The same address is listened on twice.";
    H2cWithTls "E0303" "`h2c` and `tls` exclude each other on a listener.";
    LogLevel "E0304" "A log filter is malformed.";
    NoAuth "E0401" "A route does not say how callers are known; `auth: none` has to be written out loud.";
    NoAction "E0402" "A route says nothing about what to do: one of `upstream`, `redirect` and `respond` is needed.";
    ManyActions "E0403" "A route says more than one thing to do.";
    UnknownUpstream "E0404" "A route names an upstream that does not exist.";
    RouteName "E0405" "Two routes have the same name.";
    Tie "E0406" "Two routes match the same requests and neither is more specific.";
    StripPrefix "E0407" "The prefix to strip is not a prefix of the route's path.";
    UnknownParameter "E0408" "A template names a parameter that the route's path does not have.";
    ForbiddenHeader "E0409" "A header that belongs to the connection or to the framing of messages cannot be edited or given another meaning.";
    RepeatedHeader "E0410" "The same header is edited twice in one list.";
    RepeatedCondition "E0411" "The same header or query parameter is asked for twice.";
    BodyTooLarge "E0412" "The body of a fixed answer is too large.";
    BodyNotAllowed "E0413" "A status that has no body is given one.";
    NoEffect "E0414" "A key has no effect together with the others that are written.";
    HostCondition "E0415" "A condition asks for the field `Host`; `match.hosts` is there for that.";
    ReservedName "E0416" "A route or an upstream has a name that metrics use for something else.";
    EngineProtocol "E0417" "The engine that a route asks for cannot speak the protocol of its upstream.";
    ServerName "E0501" "An upstream with TLS does not say which name its certificate has to carry.";
    AutoNeedsTls "E0502" "`protocol: auto` chooses by ALPN, which needs `tls`.";
    CaFile "E0503" "The file with certificate authorities cannot be read.";
    UnknownIssuer "E0701" "A route names an issuer that does not exist.";
    UnknownPlan "E0702" "A partner names a plan that does not exist.";
    UnknownPartner "E0703" "A route or a test names a partner that does not exist.";
    UnknownRoute "E0704" "A test names a route that does not exist.";
    NoKeySource "E0705" "An issuer does not say where its keys come from.";
    ManyKeySources "E0706" "The keys of an issuer come from more than one place.";
    UnknownAlgorithm "E0707" "A signature algorithm is not known.";
    NoneAlgorithm "E0708" "The algorithm `none` is never accepted.";
    AlgorithmFamily "E0709" "An algorithm does not fit the keys: HS256 belongs to a shared secret, all others to public keys.";
    KeyId "E0710" "Two keys of an issuer have the same id.";
    SecretLiteral "E0711" "A secret is written in the file itself, instead of a reference to it.";
    SecretUnset "E0712" "The environment variable of a secret is not set, is empty, or is not text.";
    SecretFile "E0713" "The file of a secret cannot be read.";
    SecretEncoding "E0714" "A secret is not valid Base64.";
    SecretTooShort "E0715" "A secret is shorter than its algorithm demands (RFC 7518 section 3.2).";
    ClientClash "E0716" "The same value of the partner claim tells two partners.";
    ApiKeyClash "E0717" "Two API keys have the same id or the same digest.";
    CertificateClash "E0718" "The same certificate is written twice, or tells two partners.";
    NoMethod "E0719" "A route does not say which credential its callers show.";
    ManyMethods "E0720" "A route says more than one credential without `any_of`.";
    NoPlace "E0721" "A credential can stand nowhere in the request.";
    NoPartners "E0722" "A route needs partners, and the file has none.";
    SameIssuer "E0723" "A route accepts two issuers that nothing tells apart.";
    AllowedAndDenied "E0724" "What is allowed is denied as well.";
    ClaimsWithoutToken "E0725" "A route has conditions on claims, but its callers have no token.";
    ClaimCondition "E0726" "A condition on a claim is not exactly one of `equals`, `in` and `matches`, or asks for what no claim can be.";
    IdentityHeader "E0727" "A field that tells upstreams who calls is used for something else.";
    LimitName "E0801" "Two limits have the same name.";
    CostTooHigh "E0802" "A request costs more than a limit has room for, so that it could never pass.";
    CacheClash "E0901" "A cache says two things that exclude each other.";
    CacheMethods "E0902" "The methods that are answered from a cache lack GET, whose answers are what is kept.";
    CacheHeader "E0903" "A request field cannot be part of the key of a cache: it is part of it already, means something to the cache itself, or is a credential.";
    CacheQuery "E0904" "A name of a query parameter in the key of a cache has a `*` that does not end it.";
    CacheTag "E0905" "A tag of answers is malformed, empty or too long.";
    CacheBypass "E0906" "A condition to pass by a cache is not exactly one of `header`, `cookie` and `query`.";
    ModelVersion "E1001" "The version of an anomaly model is malformed, or pinned for all routes.";
    AnomalyLadder "E1002" "A ladder of actions has no rung, or one that more requests reach than a milder one.";
    AnomalyClash "E1003" "`ladder` excludes `action` and `contamination`.";
    AnomalyCallers "E1004" "An action on callers is written for a route that knows them by their network only, or whose callers have no token to renew.";
    UnusedUpstream "W0601" "No route uses this upstream.";
    UnregisteredMethod "W0602" "A request method is not registered with IANA; is it a spelling mistake?";
    RepeatedEntry "W0603" "The same entry is listed twice.";
    UnusedIssuer "W0604" "No route uses this issuer.";
    UnusedPlan "W0605" "No partner is on this plan.";
    AnyAudience "W0606" "An issuer does not say for whom its tokens are meant, so tokens for other services are accepted.";
    UnknownCallers "W0607" "A limit or a cache tells callers apart by who they are, on a route that asks nobody.";
    KeyOfOneRequest "W0608" "A request field in the key of a cache is another one in almost every request, so that nothing is found again.";
}

impl Code {
    #[must_use]
    pub const fn severity(self) -> Severity {
        if self.as_str().as_bytes()[0] == b'W' { Severity::Warning } else { Severity::Error }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The documentation page of all codes, in Markdown.
#[must_use]
pub fn documentation() -> String {
    let mut page = String::from(
        "# Codes of configuration mistakes\n\n\
         <!-- Generated from `src/config/report/code.rs`; run the tests with SLUICE_UPDATE=1 to write it anew. -->\n\n\
         `sluice check` reports every mistake of a file at once. Errors start with `E`, warnings with `W`.\n\n\
         | code | meaning |\n|---|---|\n",
    );
    for code in Code::ALL {
        page.push_str(&format!("| {code} | {} |\n", code.meaning().replace('|', "\\|")));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_ordered_and_named_by_severity() {
        let codes: Vec<_> = Code::ALL.iter().filter(|c| c.severity() == Severity::Error).map(|c| c.as_str()).collect();
        assert!(codes.is_sorted_by(|a, b| a < b));
        assert!(Code::ALL.iter().all(|c| c.as_str().len() == 5));
    }
}
