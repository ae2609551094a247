//! The placement: which node owns which workspaces. It is one object of the store, and every change replaces it.
//!
//! A workspace belongs to the shard of the last byte of its id. A shard has one owner. Its owner hands it over when
//! another node is to have it. The shards of a node that is gone are taken by the others.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::ensure;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Number of shards.
pub const SHARDS: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Grows with each change, and is greater than the epoch of the lease before.
    pub version: u64,
    /// The nodes that take part.
    pub nodes: BTreeSet<String>,
    /// Nodes that are to own nothing.
    pub draining: BTreeSet<String>,
    /// The node that prefers to handle the requests of the central host, sends mail, and does the work that only one node
    /// should do.
    pub central: String,
    /// By number.
    pub shards: Vec<Shard>,
    /// One server serves alone again. The nodes that are left answer nothing.
    #[serde(default)]
    pub is_over: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    pub owner: String,
    /// The version of the placement with which the owner got the shard.
    pub epoch: u64,
    /// The node that is to have it. The owner hands it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The number of the shard of a workspace.
pub fn shard_of(id: Uuid) -> u8 {
    id.as_bytes()[15]
}

impl Placement {
    /// One node owns everything.
    pub fn of_one(node: &str, version: u64) -> Self {
        let shard = Shard { owner: node.to_owned(), epoch: version, next: None };
        Self {
            version,
            nodes: BTreeSet::from([node.to_owned()]),
            draining: BTreeSet::new(),
            central: node.to_owned(),
            shards: vec![shard; SHARDS],
            is_over: false,
        }
    }

    pub fn is_whole(&self) -> bool {
        self.shards.len() == SHARDS
    }

    pub fn shard(&self, number: u8) -> &Shard {
        &self.shards[usize::from(number)]
    }

    /// The shards that a node owns.
    pub fn owned_by<'a>(&'a self, node: &'a str) -> impl Iterator<Item = u8> + 'a {
        (0..=u8::MAX).filter(move |number| self.shard(*number).owner == node)
    }

    /// Adds a node, and marks so many shards for it that it has its part. They come from the nodes that have most.
    pub fn join(&mut self, node: &str) {
        self.nodes.insert(node.to_owned());
        self.draining.remove(node);
        let takers = self.takers().count().max(1);
        let mut promised = self.promised();
        while promised.get(node).copied().unwrap_or(0) < SHARDS / takers {
            let from = promised.iter().filter(|(name, _)| *name != node);
            let Some((from, _)) = from.max_by_key(|(_, count)| **count) else { break };
            let from = from.clone();
            let is_of = |shard: &&mut Shard| shard.next.as_ref().unwrap_or(&shard.owner) == &from;
            let Some(shard) = self.shards.iter_mut().rev().find(is_of) else { break };
            shard.next = Some(node.to_owned());
            promised = self.promised();
        }
        self.forget_moves_to_owners();
    }

    /// Gives everything of nodes that are gone to those that live. Without one that takes shards, nothing changes.
    pub fn take_over(&mut self, live: &BTreeSet<String>) {
        let gone: BTreeSet<String> = self.nodes.difference(live).cloned().collect();
        self.nodes.retain(|node| live.contains(node));
        let takers: BTreeSet<String> = self.takers().cloned().collect();
        // A node that drains owns shards until another is there.
        let takers = if takers.is_empty() { self.nodes.clone() } else { takers };
        let Some(first) = takers.first().cloned() else {
            self.nodes.extend(gone);
            return;
        };
        if !self.nodes.contains(&self.central) {
            self.central = first;
        }
        let epoch = self.version + 1;
        for number in 0..SHARDS {
            let promised = self.promised();
            let shard = &mut self.shards[number];
            shard.next.take_if(|next| !live.contains(next));
            if self.nodes.contains(&shard.owner) {
                continue;
            }
            let count = |node: &&String| promised.get(*node).copied().unwrap_or(0);
            let least = takers.iter().min_by_key(count).expect("there is a taker").clone();
            *shard = Shard { owner: shard.next.take().unwrap_or(least), epoch, next: None };
        }
    }

    /// Marks everything of a node that drains for others.
    pub fn drain(&mut self, node: &str) {
        let takers: Vec<String> = self.takers().cloned().collect();
        let Some(first) = takers.first() else { return };
        if self.central == node {
            self.central.clone_from(first);
        }
        for number in 0..SHARDS {
            let promised = self.promised();
            let shard = &mut self.shards[number];
            if shard.owner == node && shard.next.is_none() {
                shard.next = takers.iter().min_by_key(|node| promised.get(*node).copied().unwrap_or(0)).cloned();
            }
        }
    }

    /// Marks a shard for a node.
    pub fn mark_for(&mut self, number: u8, node: &str) -> anyhow::Result<()> {
        self.require(node)?;
        ensure!(!self.draining.contains(node), "{node} is draining: start it again first");
        self.shards[usize::from(number)].next = Some(node.to_owned());
        self.forget_moves_to_owners();
        Ok(())
    }

    /// Notes that a node is to own nothing.
    pub fn start_draining(&mut self, node: &str) -> anyhow::Result<()> {
        self.require(node)?;
        ensure!(self.takers().any(|taker| taker != node), "there is no other node to serve what {node} serves");
        self.draining.insert(node.to_owned());
        // What was on its way to it goes elsewhere.
        self.shards.iter_mut().for_each(|shard| drop(shard.next.take_if(|next| next == node)));
        self.drain(node);
        Ok(())
    }

    fn require(&self, node: &str) -> anyhow::Result<()> {
        let names: Vec<&str> = self.nodes.iter().map(String::as_str).collect();
        ensure!(self.nodes.contains(node), "no node has the name {node}; there are: {}", names.join(", "));
        Ok(())
    }

    /// Hands shards over to the nodes that are to have them.
    pub fn hand_over(&mut self, shards: &BTreeSet<u8>) {
        let epoch = self.version + 1;
        for number in shards {
            let shard = &mut self.shards[usize::from(*number)];
            if let Some(next) = shard.next.take() {
                *shard = Shard { owner: next, epoch, next: None };
            }
        }
    }

    /// The nodes that may get shards.
    fn takers(&self) -> impl Iterator<Item = &String> {
        self.nodes.difference(&self.draining)
    }

    /// The number of shards that each node has when all are handed over.
    fn promised(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for shard in &self.shards {
            *counts.entry(shard.next.as_ref().unwrap_or(&shard.owner).clone()).or_default() += 1;
        }
        counts
    }

    fn forget_moves_to_owners(&mut self) {
        for shard in &mut self.shards {
            let owner = &shard.owner;
            shard.next.take_if(|next| next == owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Join(u8),
        Die(u8),
        Drain(u8),
        HandOver(Vec<u8>),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..5_u8).prop_map(Step::Join),
            2 => (0..5_u8).prop_map(Step::Die),
            1 => (0..5_u8).prop_map(Step::Drain),
            3 => prop::collection::vec(any::<u8>(), 0..256).prop_map(Step::HandOver),
        ]
    }

    fn name(n: u8) -> String {
        format!("node-{n}")
    }

    fn hand_over_all(placement: &mut Placement) {
        placement.hand_over(&(0..=u8::MAX).collect());
        placement.version += 1;
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

        #[test]
        fn each_shard_has_one_owner_that_takes_part_and_a_new_epoch_with_each_owner(
            steps in prop::collection::vec(step(), 1..20),
        ) {
            let mut placement = Placement::of_one(&name(0), 7);
            for step in steps {
                let before = placement.clone();
                match step {
                    Step::Join(n) => placement.join(&name(n)),
                    Step::Die(n) => {
                        let live = placement.nodes.iter().filter(|node| **node != name(n)).cloned().collect();
                        placement.take_over(&live);
                    }
                    Step::Drain(n) if placement.nodes.contains(&name(n)) => {
                        placement.draining.insert(name(n));
                        placement.drain(&name(n));
                    }
                    Step::Drain(_) => {}
                    Step::HandOver(shards) => placement.hand_over(&shards.into_iter().collect()),
                }
                placement.version += 1;
                prop_assert!(placement.nodes.contains(&placement.central));
                for (now, then) in placement.shards.iter().zip(&before.shards) {
                    prop_assert!(placement.nodes.contains(&now.owner), "{now:?}");
                    prop_assert!(now.next.as_ref().is_none_or(|next| placement.nodes.contains(next) && *next != now.owner));
                    prop_assert_eq!(now.owner == then.owner, now.epoch == then.epoch);
                    prop_assert!(now.epoch >= then.epoch && now.epoch <= placement.version);
                }
            }
        }

        #[test]
        fn the_shards_are_divided_evenly(count in 1..8_u8, gone in 0..7_u8) {
            let mut placement = Placement::of_one(&name(0), 1);
            for n in 1..count {
                placement.join(&name(n));
                hand_over_all(&mut placement);
            }
            let counts: Vec<usize> = (0..count).map(|n| placement.owned_by(&name(n)).count()).collect();
            prop_assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= usize::from(count), "{:?}", counts);
            let live: BTreeSet<String> = (0..count).filter(|n| *n != gone).map(name).collect();
            placement.take_over(&live);
            if let Some(most) = live.iter().map(|node| placement.owned_by(node).count()).max() {
                prop_assert!(most <= SHARDS / live.len() + usize::from(count), "{}", most);
            }
        }
    }

    #[test]
    fn a_node_that_drains_gives_everything_away() {
        let mut placement = Placement::of_one("a", 1);
        placement.join("b");
        hand_over_all(&mut placement);
        placement.draining.insert("a".into());
        placement.drain("a");
        assert_eq!(placement.central, "b");
        hand_over_all(&mut placement);
        assert_eq!(placement.owned_by("b").count(), SHARDS);
        // Nobody else is there: it keeps what it has.
        placement.draining.insert("b".into());
        placement.drain("b");
        hand_over_all(&mut placement);
        assert_eq!(placement.owned_by("b").count(), SHARDS);
    }
}
