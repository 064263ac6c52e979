//! Other ways to decide what stays, on weights alone: nothing expires.

use std::collections::{BTreeMap, HashMap};

use moka::policy::EvictionPolicy;
use quick_cache::Weighter;

/// What holds objects by weight.
pub trait Policy {
    fn get(&mut self, object: u32) -> bool;
    fn put(&mut self, object: u32, weight: u32);
}

pub struct Moka(moka::sync::Cache<u32, u32>);

impl Moka {
    pub fn new(budget: u64, policy: EvictionPolicy) -> Self {
        let weigh = |_: &u32, weight: &u32| *weight;
        Self(moka::sync::Cache::builder().max_capacity(budget).weigher(weigh).eviction_policy(policy).build())
    }
}

impl Policy for Moka {
    fn get(&mut self, object: u32) -> bool {
        self.0.get(&object).is_some()
    }

    fn put(&mut self, object: u32, weight: u32) {
        self.0.insert(object, weight);
        self.0.run_pending_tasks();
    }
}

#[derive(Clone)]
struct ByWeight;

impl Weighter<u32, u32> for ByWeight {
    fn weight(&self, _: &u32, weight: &u32) -> u64 {
        u64::from(*weight)
    }
}

pub struct Quick(quick_cache::sync::Cache<u32, u32, ByWeight>);

impl Quick {
    /// For objects that weigh so much on the average.
    pub fn new(budget: u64, average: u64) -> Self {
        let items = usize::try_from(budget / average).unwrap_or(usize::MAX);
        Self(quick_cache::sync::Cache::with_weighter(items, budget, ByWeight))
    }
}

impl Policy for Quick {
    fn get(&mut self, object: u32) -> bool {
        self.0.get(&object).is_some()
    }

    fn put(&mut self, object: u32, weight: u32) {
        self.0.insert(object, weight);
    }
}

/// As simple as it can be, as the reference.
pub struct Lru {
    budget: u64,
    weight: u64,
    clock: u64,
    objects: HashMap<u32, (u64, u32)>,
    order: BTreeMap<u64, u32>,
}

impl Lru {
    pub fn new(budget: u64) -> Self {
        Self { budget, weight: 0, clock: 0, objects: HashMap::new(), order: BTreeMap::new() }
    }
}

impl Policy for Lru {
    fn get(&mut self, object: u32) -> bool {
        let Some((used, _)) = self.objects.get_mut(&object) else { return false };
        self.clock += 1;
        self.order.remove(used);
        self.order.insert(self.clock, object);
        *used = self.clock;
        true
    }

    fn put(&mut self, object: u32, weight: u32) {
        self.clock += 1;
        self.objects.insert(object, (self.clock, weight));
        self.order.insert(self.clock, object);
        self.weight += u64::from(weight);
        while self.weight > self.budget {
            let Some((_, (_, weight))) = self.order.pop_first().and_then(|(_, old)| self.objects.remove_entry(&old))
            else {
                break;
            };
            self.weight -= u64::from(weight);
        }
    }
}
