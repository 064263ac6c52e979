//! One partner that asks for far more than it may, while others stay within theirs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::task::JoinSet;

use super::scene::{BOTH, Caller, File, KEYED, Partner, build};
use crate::support::Upstream;
use crate::support::upstream::ok;

const OTHERS: usize = 6;
const EACH: usize = 60;
const BURST: usize = 20;

#[tokio::test]
async fn the_noise_of_one_partner_takes_nothing_from_others() {
    let upstream = Upstream::answering(ok("good"));
    let noisy = Partner::new("noisy");
    let others: Vec<Partner> = (0..OTHERS).map(|at| Partner::new(&format!("quiet-{at}"))).collect();
    // The noisy one is on the smaller plan, of which each partner has its own share.
    let mut file = File::new(upstream.address())
        .plan("small", &format!("rate_limit: {BURST}/h, concurrency: 2"))
        .plan("standard", &format!("rate_limit: {EACH}/h, quota: {EACH}/month, concurrency: 4"))
        .partner("small", &noisy)
        .route("orders", &format!("{KEYED}, rate_limit: {{ per: [partner, address], rate: 1000/h }}"));
    for other in &others {
        file = file.partner("standard", other);
    }
    let gateway = build().set("threads", "2").start(&file.to_string()).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut noise = JoinSet::new();
    for at in 0..6 {
        let (mut caller, noisy, over) =
            (Caller::connect(&gateway, BOTH[at % 2]).await, noisy.clone(), Arc::clone(&over));
        noise.spawn(async move {
            let mut statuses = Vec::new();
            while !over.load(Ordering::Relaxed) {
                statuses.push(noisy.get(&mut caller, "/orders/").await.status);
            }
            statuses
        });
    }
    let mut quiet = JoinSet::new();
    for (at, other) in others.into_iter().enumerate() {
        let mut caller = Caller::connect(&gateway, BOTH[at % 2]).await;
        quiet.spawn(async move { other.gets(&mut caller, "/orders/", EACH).await });
    }
    for statuses in quiet.join_all().await {
        assert_eq!(statuses, [200; EACH]);
    }
    over.store(true, Ordering::Relaxed);
    let noise = noise.join_all().await.concat();
    let passed = noise.iter().filter(|status| **status == 200).count();
    assert!(noise.len() > BURST, "{}", noise.len());
    assert_eq!(passed, BURST, "of {}", noise.len());
    assert!(noise.iter().all(|status| matches!(status, 200 | 429)));
    assert_eq!(upstream.requests().len(), OTHERS * EACH + BURST);
}
