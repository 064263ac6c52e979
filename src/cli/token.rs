//! `sluice token`: a token for an issuer of `routes.yaml`, to try the gateway with.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};

use super::claims::{claim, put};
use super::{Common, FOUND_ERRORS, Failure, Format, print, print_json, read_routes, tell};
use crate::auth::sign::{Signer, random_id};
use crate::base::{clock, duration, timestamp};
use crate::config::checked::Routes;
use crate::config::checked::identity::{Algorithm, ClaimPath, Issuer, KeySource};
use crate::listener::development::{self, KEY_SET};

/// How long a token is good when nothing is said.
const USUAL_LIFETIME: Duration = Duration::from_secs(3_600);

/// Of access tokens (RFC 9068 §2.1).
const ACCESS_TOKEN: &str = "at+jwt";

#[derive(Args)]
pub(super) struct Token {
    /// For whom: the name of a partner
    #[arg(long, value_name = "NAME")]
    partner: Option<String>,
    /// Who it is within the partner
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
    /// What it may; may be repeated
    #[arg(long = "scope", value_name = "SCOPE", value_parser = scope)]
    scopes: Vec<String>,
    /// How long it is good [default: 1h, or less where the issuer allows no more]
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    expires: Option<Duration>,
    /// Whose token: an issuer of the routes file [default: the one with the development key]
    #[arg(long, value_name = "NAME")]
    issuer: Option<String>,
    /// A further claim, or another value for one; the name may be a JSON pointer, the value JSON; may be repeated
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(ClaimPath, Value)>,
    /// The private key of the issuer, as PEM [default: the development key, or the issuer's shared secret]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The id of that key (`kid`)
    #[arg(long, value_name = "ID", requires = "key")]
    key_id: Option<String>,
    /// How it is signed [default: what fits the key and the issuer]
    #[arg(long, value_name = "NAME", value_parser = algorithm)]
    algorithm: Option<Algorithm>,
    /// The id of the token (`jti`), to be revoked by [default: a random one]
    #[arg(long, value_name = "ID")]
    id: Option<String>,
}

impl Token {
    pub(super) fn carry_out(&self, common: &Common) -> Result<(), Failure> {
        let bootstrap = common.bootstrap(FOUND_ERRORS)?;
        let reading = read_routes(&bootstrap)?;
        let Some(routes) = reading.routes else {
            return Err(Failure::Config { report: Box::new(reading.report), code: FOUND_ERRORS });
        };
        let issuer = self.issuer(&routes)?;
        let (signer, key_id) = self.signer(issuer)?;
        self.judge(issuer, &routes);
        let claims = self.claims(issuer, &routes, clock::since_epoch())?;
        let token = signer.sign(&claims, kind(issuer), key_id.as_deref()).map_err(Failure::found)?;
        match common.format {
            Format::Human => print(&format!("{token}\n")),
            Format::Json => {
                let expires = claims["exp"].as_u64().map(|end| timestamp::format(Duration::from_secs(end)));
                print_json(&json!({ "token": token, "claims": claims, "expires": expires }))
            }
        }
    }

    fn issuer<'r>(&self, routes: &'r Routes) -> Result<&'r Issuer, Failure> {
        let names = || match routes.issuers.len() {
            0 => "it has none".to_owned(),
            _ => format!("there are: {}", list(routes.issuers.keys())),
        };
        let file = &routes.file;
        match &self.issuer {
            Some(name) => routes
                .issuers
                .get(name.as_str())
                .map(AsRef::as_ref)
                .ok_or_else(|| Failure::found(format!("{file} has no issuer `{name}`; {}", names()))),
            None => {
                let mut development = routes.issuers.values().filter(|issuer| development_set(issuer).is_some());
                development.next().map(AsRef::as_ref).ok_or_else(|| {
                    let way = "name one with --issuer, or write one whose `jwks` is the file";
                    Failure::found(format!(
                        "{file} has no issuer with the development key; {way} `{KEY_SET}` ({})",
                        names()
                    ))
                })
            }
        }
    }

    /// What signs, and what its key is called.
    fn signer(&self, issuer: &Issuer) -> Result<(Signer, Option<String>), Failure> {
        let name = &issuer.name;
        let (signer, key_id) = match (&self.key, &issuer.keys) {
            (Some(path), keys) => {
                let signer = self.read_key(path, issuer)?;
                let key_id = self.key_id.clone().or_else(|| id_in(keys, signer.algorithm()));
                (signer, key_id)
            }
            (None, KeySource::Secret(secret)) => (Signer::from_secret(secret), None),
            (None, KeySource::File(set)) if development::is_key_set(set) => development_signer(set)?,
            (None, keys) => {
                let with = match keys {
                    KeySource::Url(url) => format!("its public keys from {}", url.url),
                    KeySource::File(file) => format!("its public keys from {}", file.display()),
                    KeySource::Pem(_) | KeySource::Secret(_) => "public keys only".to_owned(),
                };
                let way = "name its private key with --key, or let an issuer with the development key sign";
                return Err(Failure::found(format!("the issuer `{name}` has {with}; {way}")));
            }
        };
        let algorithm = signer.algorithm();
        if let Some(asked) = self.algorithm.filter(|asked| *asked != algorithm) {
            let message = format!("the key of the issuer `{name}` signs {}", algorithm.as_str());
            return Err(Failure::found(format!("{message}, not {}; leave --algorithm out", asked.as_str())));
        }
        if !issuer.algorithms.contains(&algorithm) {
            let taken = list(issuer.algorithms.iter().map(|algorithm| algorithm.as_str()));
            let message = format!("the issuer `{name}` takes {taken}, and this would be {}", algorithm.as_str());
            return Err(Failure::found(format!("{message}; choose another --key or --algorithm, or add it there")));
        }
        Ok((signer, key_id))
    }

    fn read_key(&self, path: &Path, issuer: &Issuer) -> Result<Signer, Failure> {
        let told = |error: &dyn std::fmt::Display| Failure::found(format!("--key {}: {error}", path.display()));
        let pem = std::fs::read(path).map_err(|error| told(&error))?;
        let with = |algorithm: &Algorithm| Signer::from_pem(&pem, Some(*algorithm)).ok();
        let fitting = || issuer.algorithms.iter().find_map(with);
        let signer = match self.algorithm {
            None => fitting().map_or_else(|| Signer::from_pem(&pem, None), Ok),
            asked => Signer::from_pem(&pem, asked),
        };
        signer.map_err(|error| told(&error))
    }

    /// Says what would keep the gateway from taking the token; it may be what is to be tried.
    fn judge(&self, issuer: &Issuer, routes: &Routes) {
        if let Some(partner) = self.partner.as_deref().filter(|partner| client_of(partner, routes).is_none()) {
            let known = match routes.partners.len() {
                0 => "there are none".to_owned(),
                _ => format!("there are: {}", list(routes.partners.keys())),
            };
            tell(&format!("note: {} has no partner `{partner}`; {known}\n", routes.file));
        }
        if let Some(partner) = self.partner.as_deref().filter(|partner| !issuer.speaks_for(partner)) {
            tell(&format!("note: the issuer `{}` may not speak for the partner `{partner}`\n", issuer.name));
        }
        if let (Some(longest), Some(expires)) = (issuer.max_lifetime, self.expires)
            && expires > longest
        {
            let longest = duration::format(longest);
            tell(&format!("note: the issuer `{}` refuses tokens for longer than {longest}\n", issuer.name));
        }
    }

    fn claims(&self, issuer: &Issuer, routes: &Routes, now: Duration) -> Result<Value, Failure> {
        let names = &issuer.claims;
        let lifetime = self
            .expires
            .unwrap_or_else(|| issuer.max_lifetime.map_or(USUAL_LIFETIME, |longest| longest.min(USUAL_LIFETIME)));
        let one = |name: &str| ClaimPath(Arc::from([name.into()]));
        let text = |text: &str| Some(Value::from(text));
        let partner = self.partner.as_deref().map(|partner| client_of(partner, routes).unwrap_or(partner));
        let id = match &self.id {
            Some(id) => id.clone(),
            None => random_id().map_err(Failure::found)?,
        };
        let said = [
            (one("iss"), issuer.issuer.as_deref().and_then(text)),
            (one("aud"), issuer.audiences.first().and_then(|audience| text(audience))),
            (names.subject.clone(), self.subject.as_deref().and_then(text)),
            (names.partner.clone(), partner.and_then(text)),
            (names.scopes.clone(), text(&self.scopes.join(" ")).filter(|_| !self.scopes.is_empty())),
            (one("iat"), Some(now.as_secs().into())),
            (one("exp"), Some((now + lifetime).as_secs().into())),
            (names.token_id.clone(), text(&id)),
        ];
        let mut claims = Map::new();
        let said = said.into_iter().filter_map(|(path, value)| Some((path, value?)));
        for (path, value) in said.chain(self.claims.iter().cloned()) {
            if !put(&mut claims, &path.0, value) {
                return Err(Failure::found(format!("claim {}: what it is within is no object", path.0.join("/"))));
            }
        }
        Ok(Value::Object(claims))
    }
}

/// The development key set, if that is where the keys come from.
pub(super) fn development_set(issuer: &Issuer) -> Option<&Path> {
    match &issuer.keys {
        KeySource::File(set) if development::is_key_set(set) => Some(set),
        _ => None,
    }
}

/// Makes the development key where it is not there yet, so that the first token can be made before the first start.
fn development_signer(set: &Path) -> Result<(Signer, Option<String>), Failure> {
    let (signer, outcome) = development::ensure_token_key(set).map_err(Failure::found)?;
    if outcome == development::Outcome::Made {
        tell(&format!("note: the development key {} was made\n", development::token_key_of(set).display()));
    }
    let key_id = signer.thumbprint();
    Ok((signer, key_id))
}

/// How the issuer calls the only key that it can be.
fn id_in(keys: &KeySource, algorithm: Algorithm) -> Option<String> {
    let KeySource::Pem(keys) = keys else { return None };
    let mut fitting = keys.iter().filter(|key| key.algorithm == algorithm);
    let key = fitting.next().filter(|_| fitting.next().is_none())?;
    key.id.as_deref().map(str::to_owned)
}

/// The `typ` that the issuer's tokens have.
fn kind(issuer: &Issuer) -> Option<&str> {
    let types = &issuer.types;
    let access = types.named.iter().find(|kind| ***kind == *ACCESS_TOKEN);
    match access.or(types.named.first()) {
        Some(kind) => Some(kind),
        None if types.untyped => None,
        None => Some(ACCESS_TOKEN),
    }
}

/// What the partner claim is for this partner.
fn client_of<'r>(partner: &str, routes: &'r Routes) -> Option<&'r str> {
    let own = routes
        .partners
        .get(partner)
        .and_then(|known| known.clients.iter().find(|client| &***client == partner).or(known.clients.first()));
    let of_any = || routes.partners.values().flat_map(|known| &known.clients).find(|client| &***client == partner);
    own.or_else(of_any).map(AsRef::as_ref)
}

fn list(names: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    names.into_iter().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

fn scope(text: &str) -> Result<String, String> {
    match text.is_empty() || text.contains(char::is_whitespace) {
        true => Err("a scope is one word; write --scope once for each".to_owned()),
        false => Ok(text.to_owned()),
    }
}

fn algorithm(text: &str) -> Result<Algorithm, String> {
    let known = Algorithm::ALL.iter().find(|algorithm| algorithm.as_str().eq_ignore_ascii_case(text));
    known.copied().ok_or_else(|| format!("known are {}", list(Algorithm::ALL.iter().map(|known| known.as_str()))))
}
