//! What theory expects of a code: nines and repair traffic of an exact Markov chain of one object.
//!
//! The states are the columns that an object has, from n down to k, and its loss. Columns are lost one by one, and up
//! to as many together as one domain has; from R columns on a repair restores all, after a time that is exponential. So
//! the chain overstates losses where the time is fixed: [`Exposure::nines_of_fixed_repair`] is the other bound. Nines
//! are computed without subtractions, so that figures of 1e-30 have their digits. Not here: outages.

use ostrakon_proto::params::Code;

/// Steps of a year, where the states are followed in time: an hour each.
const STEPS: f64 = 8_766.0;

/// What an object in a code is exposed to.
#[derive(Clone, Copy, Debug)]
pub struct Exposure {
    /// The code.
    pub code: Code,
    /// The columns at which it is repaired: R.
    pub repair_at: u8,
    /// Columns of it in one domain, at most.
    pub per_domain: u8,
    /// Mean years until a node fails.
    pub mttf: f64,
    /// Mean years from a failure to its repair.
    pub repair: f64,
    /// Losses of a domain in a year.
    pub disasters: f64,
    /// Losses of a column alone in a year.
    pub rot: f64,
}

/// What the chain expects.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// Minus the decimal logarithm of the losses in an object-year.
    pub nines: f64,
    /// Columns read and written for repairs in a year, in multiples of the object.
    pub traffic: f64,
}

impl Exposure {
    /// What the chain expects.
    pub fn expected(&self) -> Expected {
        let shares = stationary(self.rates());
        let (lost, kept) = shares.split_last().expect("there are several states");
        let losses = lost / kept.iter().sum::<f64>();
        Expected { nines: -losses.log10(), traffic: self.moved(kept) }
    }

    /// The traffic in a year of the first `years`, of objects that begin whole: fewer repairs than in the long run.
    pub fn first_traffic(&self, years: f64) -> f64 {
        let (rates, steps) = (self.rates(), (years * STEPS).max(1.0));
        let (mut shares, mut moved, mut step) = (vec![0.0; rates.len()], 0.0, 0.0);
        shares[0] = 1.0;
        while step < steps {
            moved += self.moved(&shares[..shares.len() - 1]) / steps;
            shares = after(&shares, &rates, 1.0 / STEPS);
            step += 1.0;
        }
        moved
    }

    /// The rates between the states: from n columns down to k, and lost.
    fn rates(&self) -> Vec<Vec<f64>> {
        let n = usize::from(self.code.n);
        let states = n - usize::from(self.code.k) + 2;
        let mut rates = vec![vec![0.0; states]; states];
        for (state, row) in rates.iter_mut().enumerate().take(states - 1) {
            self.leave(n - state, row);
        }
        // It begins again when it is lost, so that there is a long run.
        rates[states - 1][0] = 1.0;
        rates
    }

    /// What is moved in a year when objects are in these states.
    fn moved(&self, shares: &[f64]) -> f64 {
        let [k, n, repair_at] = [self.code.k, self.code.n, self.repair_at].map(usize::from);
        let repaired = shares.iter().enumerate().filter(|(state, _)| n - state <= repair_at);
        repaired.map(|(state, share)| share * (k + state) as f64 / k as f64 / self.repair).sum()
    }

    /// The rates at which an object with `live` columns comes to another number of them.
    fn leave(&self, live: usize, row: &mut [f64]) {
        let (n, lost) = (usize::from(self.code.n), row.len() - 1);
        let to = |left: usize| (n - left).min(lost);
        row[to(live - 1)] += live as f64 * (1.0 / self.mttf + self.rot);
        let together = usize::from(self.per_domain);
        let domains = n.div_ceil(together) as f64;
        for gone in 1..=together.min(live) {
            let ways = choose(together, gone) * choose(n - together, live - gone) / choose(n, live);
            row[to(live - gone)] += domains * self.disasters * ways;
        }
        if live <= usize::from(self.repair_at) {
            row[0] += 1.0 / self.repair;
        }
    }

    /// The nines when every repair takes exactly its mean, and no domain is lost: a repair begins at R columns, and the
    /// object is lost if too many of them fail until it is done.
    pub fn nines_of_fixed_repair(&self) -> f64 {
        let [k, n, repair_at] = [self.code.k, self.code.n, self.repair_at].map(usize::from);
        let rate = 1.0 / self.mttf + self.rot;
        let fails = -(-self.repair * rate).exp_m1();
        let until = (repair_at + 1..=n).map(|live| 1.0 / (live as f64 * rate)).sum::<f64>() + self.repair;
        let all = |failed: usize| {
            let (failed, left) = (failed as f64, (repair_at - failed) as f64);
            fails.powf(failed) * (1.0 - fails).powf(left)
        };
        let lost: f64 = (repair_at - k + 1..=repair_at).map(|failed| choose(repair_at, failed) * all(failed)).sum();
        -(lost / until).log10()
    }
}

/// The shares of the states a short time later.
fn after(shares: &[f64], rates: &[Vec<f64>], years: f64) -> Vec<f64> {
    let mut next = shares.to_vec();
    for (from, (share, row)) in shares.iter().zip(rates).enumerate() {
        for (to, rate) in row.iter().enumerate() {
            next[to] += share * rate * years;
            next[from] -= share * rate * years;
        }
    }
    next
}

/// The number of choices of `some` out of `all`; zero when `all` are fewer.
fn choose(all: usize, some: usize) -> f64 {
    if some > all {
        return 0.0;
    }
    (0..some).map(|at| (all - at) as f64 / (some - at) as f64).product()
}

/// The share of time that a chain with these rates spends in each state, by the elimination of Grassmann, Taksar and
/// Heyman.
fn stationary(mut rates: Vec<Vec<f64>>) -> Vec<f64> {
    let states = rates.len();
    for last in (1..states).rev() {
        let out: f64 = rates[last][..last].iter().sum();
        let from_last = rates[last].clone();
        for row in &mut rates[..last] {
            row[last] /= out;
            let through = row[last];
            row[..last].iter_mut().zip(&from_last).for_each(|(rate, onward)| *rate += through * onward);
        }
    }
    let mut shares = vec![1.0];
    while shares.len() < states {
        let into = rates.iter().zip(&shares).map(|(row, share)| share * row[shares.len()]);
        shares.push(into.sum());
    }
    let all: f64 = shares.iter().sum();
    shares.into_iter().map(|share| share / all).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: f64 = 365.25;

    /// The figures that the design rests on, which another program computed.
    #[test]
    fn the_chain_is_that_of_the_design() {
        let check = |code: &str, repair_at, per_domain, days: f64, (nines, traffic): (f64, f64)| {
            let code = code.parse().expect("a code");
            let rot = if days > 1.0 { 0.005 } else { 0.0 };
            let exposure =
                Exposure { code, repair_at, per_domain, mttf: 1.0, repair: days / YEAR, disasters: 0.03, rot };
            let expected = exposure.expected();
            assert!((expected.nines - nines).abs() < 0.06, "{code}: {expected:?}");
            assert!((expected.traffic - traffic).abs() < 0.06, "{code}: {expected:?}");
            let (first, long) = (exposure.first_traffic(1.0), exposure.first_traffic(30.0));
            assert!(first < traffic && (long / expected.traffic - 1.0).abs() < 0.03, "{code}: {first}, {long}");
        };
        check("8/24", 18, 2, 1.0, (14.7, 6.4));
        check("8/24", 18, 3, 1.0, (12.6, 6.4));
        check("20/50", 36, 4, 1.0, (14.4, 5.4));
        check("4/12", 9, 1, 3.0, (7.2, 6.5));
        check("16/32", 26, 4, 3.0, (6.9, 6.7));
    }

    #[test]
    fn a_fixed_time_to_repair_is_safer_than_a_random_one() {
        for (code, repair_at) in [("4/6", 5), ("4/12", 9), ("8/24", 18)] {
            let code = code.parse().expect("a code");
            let repair = 1.0 / YEAR;
            let exposure = Exposure { code, repair_at, per_domain: 1, mttf: 0.3, repair, disasters: 0.0, rot: 0.0 };
            assert!(exposure.nines_of_fixed_repair() > exposure.expected().nines, "{code}");
        }
    }
}
