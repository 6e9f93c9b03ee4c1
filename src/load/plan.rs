//! The plan of a run: which user does what at which moment, settled by the seed before anything is sent. It knows neither the
//! endpoint nor how fast that answers, and so cannot wait for it: that is what makes the load an open loop.
//!
//! A user arrives in the ramp, begins a session, makes calls with think time between their planned moments, ends the session
//! after some calls, and begins the next one halfway to its next call.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::clock::Chance;

/// How think times are spread around their mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As if each user called at random, whatever went before (a Poisson process). All together do so too.
    Exponential,
    /// Between nothing and twice the mean.
    Uniform,
    /// Always the mean; users are out of step with each other.
    Constant,
}

/// What all users have in common.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// How many users there are.
    pub users: u32,
    /// Mean time between one user's planned calls.
    pub think: Duration,
    /// How it is spread.
    pub shape: Shape,
    /// Mean number of calls in a session; none: a session lasts as long as the run.
    pub session_calls: Option<u32>,
    /// Users arrive evenly over this time.
    pub ramp: Duration,
    /// Nothing is planned at or after it.
    pub duration: Duration,
    /// The same seed gives the same plan.
    pub seed: u64,
}

/// What a user is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Begin a session.
    Begin,
    /// Make a call: the one that this number picks from the mix.
    Call(u64),
    /// End the session.
    End,
}

/// A step at its moment, counted from the start of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Due {
    /// When.
    pub at: Duration,
    /// Who.
    pub user: u32,
    /// What.
    pub step: Step,
}

/// All steps of all users, in the order of their moments.
#[derive(Debug)]
pub struct Plan {
    pace: Pace,
    users: Vec<Course>,
    /// Each user's next step.
    next: BinaryHeap<Reverse<Due>>,
}

impl Plan {
    /// The plan of a run.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        let mut users: Vec<Course> = (0..pace.users).map(|user| Course::new(&pace, user)).collect();
        let firsts = users.iter_mut().zip(0..).map(|(course, user)| course.next(&pace, user));
        let next = firsts.filter(|due| due.at < pace.duration).map(Reverse).collect();
        Self { pace, users, next }
    }

    /// When the next step is due; none where the plan is at its end.
    #[must_use]
    pub fn peek(&self) -> Option<Duration> {
        self.next.peek().map(|due| due.0.at)
    }
}

impl Iterator for Plan {
    type Item = Due;

    fn next(&mut self) -> Option<Due> {
        let Reverse(due) = self.next.pop()?;
        let course = self.users.get_mut(usize::try_from(due.user).ok()?)?;
        let following = course.next(&self.pace, due.user);
        if following.at < self.pace.duration {
            self.next.push(Reverse(following));
        }
        Some(due)
    }
}

/// One user's way through the run.
#[derive(Debug)]
struct Course {
    chance: Chance,
    /// The moment of the step that was planned last.
    at: Duration,
    /// The moment of the next call.
    call_at: Duration,
    /// Calls that the session has left; none: it does not end.
    left: Option<u64>,
    stage: Stage,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Away,
    InSession,
}

impl Course {
    fn new(pace: &Pace, user: u32) -> Self {
        // Seeds that follow each other must not give users that do.
        let chance = Chance::seeded(Chance::seeded(pace.seed ^ (u64::from(user) << 32)).next());
        let at = pace.ramp.mul_f64(f64::from(user) / f64::from(pace.users.max(1)));
        let first = match pace.shape {
            Shape::Constant => pace.think.mul_f64(fraction(&chance)),
            _ => gap(pace, &chance),
        };
        Self { chance, at, call_at: at + first, left: None, stage: Stage::Away }
    }

    fn next(&mut self, pace: &Pace, user: u32) -> Due {
        let step = match (&self.stage, self.left) {
            (Stage::Away, _) => {
                self.stage = Stage::InSession;
                self.left = pace.session_calls.map(|mean| calls(mean, &self.chance));
                Step::Begin
            }
            (Stage::InSession, Some(0)) => {
                self.stage = Stage::Away;
                let end = Due { at: self.at, user, step: Step::End };
                // The next session begins halfway to the next call.
                self.at += self.call_at.saturating_sub(self.at) / 2;
                return end;
            }
            (Stage::InSession, left) => {
                self.left = left.map(|left| left - 1);
                self.at = self.call_at;
                self.call_at += gap(pace, &self.chance);
                Step::Call(self.chance.next())
            }
        };
        Due { at: self.at, user, step }
    }
}

/// Between 0 and 1, 1 left out.
fn fraction(chance: &Chance) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exactly what a fraction holds")]
    let bits = (chance.next() >> 11) as f64;
    bits / (1_u64 << 53) as f64
}

fn gap(pace: &Pace, chance: &Chance) -> Duration {
    let factor = match pace.shape {
        Shape::Exponential => -(1.0 - fraction(chance)).ln(),
        Shape::Uniform => 2.0 * fraction(chance),
        Shape::Constant => 1.0,
    };
    // A plan must go on: no two calls of a user at one moment.
    pace.think.mul_f64(factor).max(Duration::from_micros(1))
}

/// A number of calls whose mean is `mean`, one at least (geometric).
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is small and positive")]
fn calls(mean: u32, chance: &Chance) -> u64 {
    if mean <= 1 {
        return 1;
    }
    let stays = 1.0 - 1.0 / f64::from(mean);
    1 + ((1.0 - fraction(chance)).ln() / stays.ln()) as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACE: Pace = Pace {
        users: 50,
        think: Duration::from_secs(2),
        shape: Shape::Exponential,
        session_calls: Some(5),
        ramp: Duration::from_secs(10),
        duration: Duration::from_secs(400),
        seed: 1,
    };

    fn calls_in(plan: Plan) -> Vec<Due> {
        plan.filter(|due| matches!(due.step, Step::Call(_))).collect()
    }

    #[test]
    fn calls_come_at_the_rate_that_was_asked_for() {
        for shape in [Shape::Exponential, Shape::Uniform, Shape::Constant] {
            let planned = calls_in(Plan::new(Pace { shape, ..PACE })).len() as f64;
            // 50 users for 400 s, less half the ramp, a call every 2 s each.
            let wanted = 50.0 * 395.0 / 2.0;
            assert!((planned / wanted - 1.0).abs() < 0.04, "{shape:?}: {planned} of {wanted}");
        }
    }

    #[test]
    fn exponential_gaps_forget_what_was_before() {
        let mut gaps: Vec<f64> = Vec::new();
        let chance = Chance::seeded(7);
        gaps.extend((0..100_000).map(|_| gap(&PACE, &chance).as_secs_f64() / 2.0));
        let mean = gaps.iter().sum::<f64>() / 1e5;
        let above = |limit: f64| gaps.iter().filter(|gap| **gap > limit).count() as f64 / 1e5;
        assert!((mean - 1.0).abs() < 0.02, "{mean}");
        // P(X > x) = e^-x.
        for limit in [0.5, 1.0, 3.0_f64] {
            assert!((above(limit) - (-limit).exp()).abs() < 0.01, "{limit}: {}", above(limit));
        }
    }

    #[test]
    fn sessions_have_the_calls_that_were_asked_for() {
        let plan: Vec<Due> = Plan::new(PACE).collect();
        let count = |wanted: fn(&Step) -> bool| plan.iter().filter(|due| wanted(&due.step)).count();
        let (begun, ended) = (count(|step| *step == Step::Begin), count(|step| *step == Step::End));
        assert!(begun - ended <= 50, "{begun} {ended}");
        let per_session = count(|step| matches!(step, Step::Call(_))) as f64 / begun as f64;
        assert!((per_session - 5.0).abs() < 0.35, "{per_session}");
        let endless = Plan::new(Pace { session_calls: None, ..PACE }).filter(|due| due.step == Step::Begin);
        assert_eq!(endless.count(), 50);
    }

    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_one_another() {
        let plan = |seed| Plan::new(Pace { seed, ..PACE }).collect::<Vec<_>>();
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
    }

    #[test]
    fn users_arrive_one_after_the_other() {
        let mut begun: Vec<_> = Plan::new(Pace { session_calls: None, ..PACE }).collect();
        begun.retain(|due| due.step == Step::Begin);
        let arrivals: Vec<_> = begun.iter().map(|due| (due.user, due.at.as_millis())).collect();
        assert_eq!(arrivals, (0..50).map(|user| (user, u128::from(user) * 200)).collect::<Vec<_>>());
    }

    proptest! {
        #[test]
        fn any_plan_is_in_order_and_every_call_is_in_a_session(
            users in 1..20_u32, think in 1..3000_u64, ramp in 0..5000_u64, seed: u64, session in prop::option::of(1..9_u32)
        ) {
            let pace = Pace {
                users, seed, session_calls: session, think: Duration::from_millis(think),
                ramp: Duration::from_millis(ramp), duration: Duration::from_secs(6), ..PACE
            };
            let mut in_session = vec![false; users as usize];
            let mut last = Duration::ZERO;
            for due in Plan::new(pace) {
                prop_assert!(due.at >= last && due.at < pace.duration);
                last = due.at;
                let now = &mut in_session[due.user as usize];
                match due.step {
                    Step::Begin => prop_assert!(!std::mem::replace(now, true)),
                    Step::End => prop_assert!(std::mem::replace(now, false)),
                    Step::Call(_) => prop_assert!(*now),
                }
            }
        }
    }
}
