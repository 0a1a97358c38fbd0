//! New blocks: one question in progress at a time, which wakes everyone who waits for one.

use std::{sync::Mutex, time::Duration};

use ostrakon_net::lock;
use ostrakon_proto::id::Height;
use tokio::{sync::watch, time::sleep};

use super::{Chain, ask::Reach};

/// One node is asked for the next block; where there is none for a while, others as well, until one has it.
const REACH: Reach = Reach { concurrent: 1, answers: usize::MAX };
/// The pause before nodes are asked again of which none had a new block.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells the newest height while anyone waits, from a task: who waits may not be polled for a while, and must not hold
/// up the others.
#[derive(Debug, Default)]
pub(super) struct Following(Mutex<Option<watch::Sender<Height>>>);

/// The task that asks. The next one begins when it ends, even with its runtime.
struct Follower {
    chain: Chain,
    heights: watch::Sender<Height>,
}

impl Chain {
    /// Waits until a block after this one is known and trusted, for as long as there is none. Nodes hold the question
    /// until they have the block.
    pub(crate) async fn block_after(&self, height: Height) {
        while self.trust().height() <= height {
            let mut heights = self.follow();
            // Fails when the runtime of the task has ended.
            let _ended = heights.wait_for(|newest| *newest > height).await;
        }
    }

    fn follow(&self) -> watch::Receiver<Height> {
        let mut following = lock(&self.inner.following.0);
        if let Some(heights) = following.as_ref() {
            return heights.subscribe();
        }
        let (heights, receiver) = watch::channel(self.trust().height());
        *following = Some(heights.clone());
        drop(following);
        let follower = Follower { chain: self.clone(), heights };
        tokio::spawn(async move { follower.run().await });
        receiver
    }
}

impl Follower {
    /// Runs while anyone waits.
    async fn run(&self) {
        while !self.is_over() {
            tokio::select! { biased;
                () = self.heights.closed() => {}
                () = self.tell() => {}
            }
        }
    }

    /// Tells of each new block. Never ends.
    async fn tell(&self) {
        loop {
            let newest = self.chain.trust().height();
            self.heights.send_if_modified(|height| std::mem::replace(height, newest) != newest);
            let ask = |node| self.chain.tip_of(node, Some(newest.next()));
            self.chain.survey(REACH, ask, |tip| *tip > newest).await;
            if self.chain.trust().height() <= newest {
                sleep(PAUSE).await;
            }
        }
    }

    /// Whether nobody waits: who waits later begins another.
    fn is_over(&self) -> bool {
        let mut following = lock(&self.chain.inner.following.0);
        let is_over = self.heights.is_closed();
        if is_over {
            *following = None;
        }
        is_over
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut following = lock(&self.chain.inner.following.0);
        if following.as_ref().is_some_and(|heights| heights.same_channel(&self.heights)) {
            *following = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::future::join_all;
    use ostrakon_net::sim::SimConfig;

    use crate::{Client, fake::World};

    const BLOCK: Duration = Duration::from_secs(1);

    /// Bytes that are received for so many who wait for the next block together.
    async fn cost(client: &Client, count: usize) -> u64 {
        let bytes = || client.received().by_protocol().find(|(protocol, _)| *protocol == "chain");
        let before = bytes().map_or(0, |(_, bytes)| bytes);
        let height = client.chain().head().await.expect("a tip").height;
        join_all((0..count).map(|_| client.chain().block_after(height))).await;
        assert!(client.chain().head().await.expect("a tip").height > height);
        bytes().map_or(0, |(_, bytes)| bytes) - before
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_who_wait_cost_what_one_does() {
        let world = World::slow(3, BLOCK, SimConfig::default(), 1);
        let client = world.client();
        let one = cost(&client, 1).await;
        let all = cost(&client, 1_000).await;
        assert!(all <= 2 * one, "{all} bytes for all, {one} for one");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_polled_holds_nobody_up() {
        let world = World::slow(3, BLOCK, SimConfig::default(), 1);
        let client = world.client();
        let height = client.chain().head().await.expect("a tip").height;
        let mut idle = Box::pin(client.chain().block_after(height));
        assert!(futures::poll!(&mut idle).is_pending());
        client.chain().block_after(height).await;
        idle.await;
    }
}
