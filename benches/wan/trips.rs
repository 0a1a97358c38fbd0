//! Round trips in a record of packets: the longest chain of packets of a client, each sent because of an arrival. Pure.

use std::time::Duration;

use ostrakon_tests::router::Passed;

/// What this machine takes between the moment a packet is due and its delivery, at most.
const SLACK: Duration = Duration::from_millis(5);

/// How many packets the client sent one after the other, each after an answer to the one before, which takes a round
/// trip: as many as there can be. While it waits for others, such as validators, it sends nothing that counts.
pub(crate) fn longest(passed: &[Passed], rtt: Duration) -> usize {
    let last = |sent: bool, until| passed.iter().rev().find(|one| one.sent == sent && one.at <= until);
    let (mut count, mut arrival) = (0, passed.iter().rev().find(|one| !one.sent));
    while let Some(arrived) = arrival {
        let asked = arrived.at.checked_sub(rtt.saturating_sub(SLACK)).and_then(|asked| last(true, asked));
        let Some(asked) = asked else { break };
        count += 1;
        arrival = last(false, asked.at);
    }
    count
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[test]
    fn a_chain_is_as_long_as_its_answers_take() {
        let begin = Instant::now();
        let at = |ms: u64, sent| Passed { at: begin + Duration::from_millis(ms), sent };
        let check = |passed: &[(u64, bool)], count| {
            let passed: Vec<Passed> = passed.iter().map(|(ms, sent)| at(*ms, *sent)).collect();
            assert_eq!(longest(&passed, Duration::from_millis(100)), count, "{passed:?}");
        };
        check(&[], 0);
        check(&[(0, true)], 0);
        check(&[(0, true), (100, false)], 1);
        check(&[(0, true), (1, true), (100, false), (101, false)], 1);
        check(&[(0, true), (100, false), (101, true), (201, false)], 2);
        // The second was sent before the answer to the first.
        check(&[(0, true), (50, true), (100, false), (150, false)], 1);
        // Others take their time.
        check(&[(0, true), (100, false), (101, true), (5_000, false), (5_001, true), (5_101, false)], 3);
    }
}
