use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::base::location::Location;

fn partner(name: &str) -> checked::Partner {
    checked::Partner {
        name: name.into(),
        plan: None,
        enabled: true,
        clients: vec![name.into()],
        scopes: Vec::new(),
        api_keys: Vec::new(),
        certificates: Vec::new(),
        at: Location::new("routes.yaml", 1, 1),
    }
}

fn key(id: &str, byte: u8) -> checked::ApiKey {
    checked::ApiKey { id: id.into(), sha256: [byte; 32], expires: None, scopes: None }
}

/// What is kept for each is its name.
fn registry_of(partners: &checked::Partners) -> Registry<Arc<str>> {
    Registry::new(partners, |partner| Arc::new(Arc::clone(&partner.name)))
}

fn registry(partners: impl IntoIterator<Item = checked::Partner>) -> Registry<Arc<str>> {
    registry_of(&partners.into_iter().map(|partner| (Arc::clone(&partner.name), partner)).collect())
}

fn found(partner: Option<&Arc<Arc<str>>>) -> Option<&str> {
    partner.map(|name| &***name)
}

#[test]
fn a_partner_is_known_by_all_that_is_its_own() {
    let dns = |name: &str| CertificateName::Dns(name.into());
    let acme = checked::Partner {
        clients: vec!["acme-app".into(), "acme-batch".into()],
        api_keys: vec![key("old", 1), key("new", 2)],
        certificates: vec![dns("acme.test"), CertificateName::Fingerprint([7; 32])],
        ..partner("acme")
    };
    let registry = registry([partner("globex"), acme]);
    assert_eq!(found(registry.by_name("acme")), Some("acme"));
    assert_eq!(found(registry.by_client("acme")), None, "others are written");
    assert_eq!(found(registry.by_client("acme-batch")), Some("acme"));
    assert_eq!(found(registry.by_client("globex")), Some("globex"));
    let known = registry.by_key("new").unwrap();
    assert_eq!((&**known.partner, known.key.sha256), ("acme", [2; 32]));
    assert!(registry.by_key("newer").is_none() && registry.by_name("").is_none());
    assert_eq!(found(registry.by_certificate(&[CertificateName::Fingerprint([7; 32])])), Some("acme"));
    assert_eq!(found(registry.by_certificate(&[dns("b.test"), dns("acme.test")])), Some("acme"));
    assert_eq!(found(registry.by_certificate(&[CertificateName::Uri("acme.test".into())])), None, "of another kind");
    assert_eq!(found(registry.by_certificate(&[])), None);
    let names: Vec<&str> = registry.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["acme", "globex"]);
}

#[test]
fn the_first_name_of_a_certificate_that_is_somebodys_decides() {
    let of = |name: &str, certificate: &str| checked::Partner {
        certificates: vec![CertificateName::Uri(certificate.into())],
        ..partner(name)
    };
    let registry = registry([of("acme", "spiffe://a"), of("globex", "spiffe://g")]);
    let names = ["spiffe://x", "spiffe://g", "spiffe://a"].map(|uri| CertificateName::Uri(uri.into()));
    assert_eq!(found(registry.by_certificate(&names)), Some("globex"));
}

proptest! {
    #[test]
    fn it_finds_what_a_search_from_first_to_last_finds(
        partners in prop::collection::btree_map("[a-d]{1,2}", (vec("[a-e]{1,2}", 0..3), vec("[a-e]{1,2}", 0..3)), 0..12),
        asked in vec("[a-e]{1,2}", 1..20),
    ) {
        let partners: checked::Partners = partners
            .iter()
            .map(|(name, (clients, keys))| {
                let clients = clients.iter().map(|client| Arc::from(&**client)).collect();
                let api_keys = keys.iter().map(|id| key(id, 0)).collect();
                let certificates = keys.iter().map(|name| CertificateName::Dns((&**name).into())).collect();
                (Arc::from(&**name), checked::Partner { clients, api_keys, certificates, ..partner(name) })
            })
            .collect();
        let registry = registry_of(&partners);
        let first = |told: &dyn Fn(&checked::Partner) -> bool| partners.values().find(|one| told(one)).map(|one| &*one.name);
        for name in &asked {
            prop_assert_eq!(found(registry.by_name(name)), first(&|partner| *partner.name == **name));
            prop_assert_eq!(found(registry.by_client(name)), first(&|partner| partner.clients.iter().any(|c| **c == **name)));
            let by_key = first(&|partner| partner.api_keys.iter().any(|key| *key.id == **name));
            prop_assert_eq!(registry.by_key(name).map(|known| &**known.partner), by_key);
            prop_assert_eq!(found(registry.by_certificate(&[CertificateName::Dns((&**name).into())])), by_key);
        }
        prop_assert!(registry.iter().map(|(name, _)| name).eq(partners.keys()));
    }
}
