//! The laws that all counters keep, run against each of their kinds. Time passes as whoever runs them says: really, where
//! the store has a clock of its own, so the waits are short and nothing hangs on a moment that might be missed.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use super::{Block, Budget, BudgetId, Charge, Correction, Counters, Measure, SlotId, Standing, Subject, Taken};
use crate::config::Rate;

type Store = Arc<dyn Counters>;

/// Within which nothing comes back, and no window ends while a test runs.
const MONTH: u64 = 30 * 86_400;
const TASKS: u64 = 16;
/// What is waited beyond a time that a store told: it may come from another clock than the one that waits.
const SLACK: Duration = Duration::from_millis(5);
/// How often a correction is asked after, and how long between.
const LOOKS: (u32, Duration) = (1000, Duration::from_millis(5));

/// Runs every law, each against a store of its own, which nothing was spent in. `pass` lets time pass in the store made
/// last. Needs a runtime of several threads to be worth its name.
pub(crate) async fn suite(make: impl AsyncFn() -> Store, pass: impl AsyncFn(Duration)) {
    macro_rules! laws {
        ($($law:ident)*) => {$(
            // A captured line that names the law which was running, should it fail.
            println!("law: {}", stringify!($law));
            $law(make().await, &pass).await;
        )*};
    }
    laws! {
        each_measure_admits_as_much_as_it_says_and_no_more
        a_burst_is_whole_where_time_does_not_divide
        what_was_spent_comes_back_when_it_was_promised
        a_window_ends_when_it_was_promised
        a_charge_costs_what_it_costs
        more_than_there_ever_is_is_refused_and_spends_nothing
        subjects_and_budgets_are_apart
        all_charges_are_made_or_none
        a_refusal_by_rate_is_named_before_one_by_slots
        sixty_four_charges_are_one_decision
        slots_are_given_back_by_whoever_took_them
        a_refusal_begins_a_block_that_ends
        blocks_in_a_row_grow_and_are_forgotten
        only_the_budget_that_refuses_blocks
        a_hold_refuses_and_is_lifted
        a_hold_shortens_nothing
        lifting_forgets_earlier_blocks
        a_look_changes_nothing
        an_estimate_that_was_wrong_both_ways_ends_exact
        what_was_not_used_can_be_spent
        a_debt_is_paid_before_more_is_spent
        of_many_at_once_exactly_as_many_as_may_are_admitted
        many_at_once_never_make_a_part_of_their_charges
    }
}

fn rate(count: u64, seconds: u64) -> Rate {
    Rate { count: NonZeroU64::new(count).unwrap(), per: Duration::from_secs(seconds) }
}

/// So much, which does not come back while a test runs.
fn slow(count: u64) -> Measure {
    Measure::Gcra { rate: rate(count.min(20), MONTH), burst: count }
}

/// One, which soon comes back.
fn quick() -> Measure {
    Measure::Gcra { rate: rate(100, 1), burst: 1 }
}

fn slow_measures(count: u64) -> [Measure; 4] {
    let rate = rate(count, MONTH);
    [slow(count), Measure::FixedWindow(rate), Measure::SlidingWindow(rate), Measure::Slots(count)]
}

fn budget(name: &str, measure: Measure) -> Budget {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    Budget { id: BudgetId(hasher.finish()), name: name.into(), measure, block: None }
}

fn blocking(name: &str, measure: Measure, (first, most): (u64, u64)) -> Budget {
    let block = Block { first: Duration::from_millis(first), most: Duration::from_millis(most) };
    Budget { block: Some(block), ..budget(name, measure) }
}

fn charge(budget: Budget) -> Charge {
    Charge { budget: Arc::new(budget), subject: Subject(u128::MAX - 7), cost: 1 }
}

fn fresh_slot() -> SlotId {
    static NEXT: AtomicU64 = AtomicU64::new(1 << 60);
    SlotId(NEXT.fetch_add(1, Ordering::Relaxed))
}

async fn take(store: &Store, charges: &[Charge]) -> Taken {
    let taken = store.take(charges, fresh_slot()).await.unwrap();
    assert_eq!(taken.standings.len(), charges.len());
    taken
}

async fn take_one(store: &Store, charge: &Charge) -> (bool, Standing) {
    let taken = take(store, std::slice::from_ref(charge)).await;
    (taken.refused.is_none(), taken.standings[0])
}

async fn admits(store: &Store, charge: &Charge) -> bool {
    take_one(store, charge).await.0
}

async fn look(store: &Store, charge: &Charge) -> Standing {
    store.look(std::slice::from_ref(charge)).await.unwrap().standings[0]
}

async fn remaining(store: &Store, charge: &Charge) -> u64 {
    look(store, charge).await.remaining
}

/// Spends until it is refused; how the refusal stood. For budgets that may refill meanwhile.
async fn exhaust(store: &Store, charge: &Charge) -> Standing {
    for _ in 0..100_000 {
        let (admitted, standing) = take_one(store, charge).await;
        if !admitted {
            return standing;
        }
    }
    panic!("never refused: {charge:?}");
}

async fn settles(store: &Store, pass: &impl AsyncFn(Duration), charge: &Charge, expected: u64) {
    for _ in 0..LOOKS.0 {
        if remaining(store, charge).await == expected {
            return;
        }
        pass(LOOKS.1).await;
    }
    panic!("{} remain, not {expected}: {charge:?}", remaining(store, charge).await);
}

fn between(least: u64, time: Duration, most: u64) {
    let (least, most) = (Duration::from_millis(least), Duration::from_millis(most));
    assert!(least < time && time <= most, "{time:?} is not within {least:?} and {most:?}");
}

async fn each_measure_admits_as_much_as_it_says_and_no_more(store: Store, _: &impl AsyncFn(Duration)) {
    for (number, measure) in slow_measures(5).into_iter().enumerate() {
        let charge = charge(budget(&format!("five.{number}"), measure));
        for rest in (0..5).rev() {
            let (admitted, standing) = take_one(&store, &charge).await;
            assert!(admitted, "{measure:?}");
            assert_eq!((standing.remaining, standing.blocked), (rest, false), "{measure:?}");
        }
        let (admitted, standing) = take_one(&store, &charge).await;
        assert!(!admitted && standing.remaining == 0 && !standing.blocked, "{measure:?}");
        let rated = !matches!(measure, Measure::Slots(_));
        assert_eq!((standing.reset.is_zero(), standing.retry_after.is_zero()), (!rated, !rated), "{measure:?}");
        assert!(standing.retry_after <= Duration::from_secs(2 * MONTH) && standing.retry_after <= standing.reset);
    }
}

async fn a_burst_is_whole_where_time_does_not_divide(store: Store, _: &impl AsyncFn(Duration)) {
    for count in [3, 7, 11] {
        let measure = Measure::Gcra { rate: rate(count, MONTH), burst: count };
        let charge = charge(budget(&format!("odd.{count}"), measure));
        for _ in 0..count {
            assert!(admits(&store, &charge).await, "{count}");
        }
        assert!(!admits(&store, &charge).await, "{count}");
    }
}

async fn what_was_spent_comes_back_when_it_was_promised(store: Store, pass: &impl AsyncFn(Duration)) {
    let charge = charge(budget("returns", Measure::Gcra { rate: rate(5, 1), burst: 2 }));
    let standing = exhaust(&store, &charge).await;
    between(0, standing.retry_after, 200);
    between(200, standing.reset, 400);
    pass(standing.retry_after + SLACK).await;
    assert!(admits(&store, &charge).await);
    let standing = exhaust(&store, &charge).await;
    pass(standing.reset + SLACK).await;
    assert_eq!(look(&store, &charge).await.remaining, 2);
}

async fn a_window_ends_when_it_was_promised(store: Store, pass: &impl AsyncFn(Duration)) {
    for measure in [Measure::FixedWindow(rate(3, 1)), Measure::SlidingWindow(rate(3, 1))] {
        let charge = charge(budget(&format!("window.{measure:?}"), measure));
        let standing = exhaust(&store, &charge).await;
        between(0, standing.retry_after, 2000);
        pass(standing.retry_after + SLACK).await;
        assert!(admits(&store, &charge).await, "{measure:?}");
        let standing = exhaust(&store, &charge).await;
        between(0, standing.reset, 2000);
        pass(standing.reset + SLACK).await;
        assert_eq!(remaining(&store, &charge).await, 3, "{measure:?}");
    }
}

async fn a_charge_costs_what_it_costs(store: Store, _: &impl AsyncFn(Duration)) {
    for (number, measure) in slow_measures(10).into_iter().take(3).enumerate() {
        let one = charge(budget(&format!("costs.{number}"), measure));
        let costing = |cost| Charge { cost, ..one.clone() };
        assert_eq!(take_one(&store, &costing(7)).await.1.remaining, 3);
        assert!(!admits(&store, &costing(4)).await);
        assert!(admits(&store, &costing(0)).await);
        let (admitted, standing) = take_one(&store, &costing(3)).await;
        assert!(admitted && standing.remaining == 0);
        assert!(admits(&store, &costing(0)).await && !admits(&store, &one).await);
    }
}

async fn more_than_there_ever_is_is_refused_and_spends_nothing(store: Store, _: &impl AsyncFn(Duration)) {
    for (number, measure) in slow_measures(10).into_iter().take(3).enumerate() {
        let one = charge(budget(&format!("beyond.{number}"), measure));
        for cost in [11, 1 << 40] {
            assert!(!admits(&store, &Charge { cost, ..one.clone() }).await);
        }
        assert_eq!(remaining(&store, &one).await, 10);
        assert!(admits(&store, &Charge { cost: 10, ..one }).await);
    }
}

async fn subjects_and_budgets_are_apart(store: Store, _: &impl AsyncFn(Duration)) {
    let one = charge(budget("apart", slow(1)));
    let other_subject = Charge { subject: Subject(one.subject.0 ^ 1 << 127), ..one.clone() };
    let near_subject = Charge { subject: Subject(one.subject.0 ^ 1), ..one.clone() };
    let other_budget = charge(budget("apart.too", slow(1)));
    for charge in [&one, &other_subject, &near_subject, &other_budget] {
        assert!(admits(&store, charge).await && !admits(&store, charge).await);
    }
}

async fn all_charges_are_made_or_none(store: Store, _: &impl AsyncFn(Duration)) {
    let [a, b, c] = ["all.a", "all.b", "all.c"].map(|name| charge(budget(name, slow(10))));
    let narrow = charge(budget("all.narrow", slow(1)));
    let slots = charge(budget("all.slots", Measure::Slots(3)));
    let charges = [a.clone(), b.clone(), slots.clone(), narrow.clone(), c.clone()];
    assert_eq!(take(&store, &charges).await.refused, None);
    for _ in 0..3 {
        let taken = take(&store, &charges).await;
        assert_eq!(taken.refused, Some(3));
        let rest: Vec<u64> = taken.standings.iter().map(|standing| standing.remaining).collect();
        assert_eq!(rest, [9, 9, 2, 0, 9]);
    }
    for (charge, rest) in charges.iter().zip([9, 9, 2, 0, 9]) {
        assert_eq!(remaining(&store, charge).await, rest);
    }
}

async fn a_refusal_by_rate_is_named_before_one_by_slots(store: Store, _: &impl AsyncFn(Duration)) {
    let slots = charge(budget("named.slots", Measure::Slots(1)));
    let [first, second] = ["named.first", "named.second"].map(|name| charge(budget(name, slow(1))));
    let charges = [slots.clone(), first.clone(), second.clone()];
    assert_eq!(take(&store, &charges).await.refused, None);
    assert_eq!(take(&store, &charges).await.refused, Some(1));
    assert_eq!(take(&store, &[slots.clone(), second, first]).await.refused, Some(1));
    let free = charge(budget("named.free", slow(1)));
    assert_eq!(take(&store, &[free.clone(), slots]).await.refused, Some(1));
    assert_eq!(remaining(&store, &free).await, 1);
}

async fn sixty_four_charges_are_one_decision(store: Store, _: &impl AsyncFn(Duration)) {
    let charges: Vec<Charge> = (0..64).map(|n| charge(budget(&format!("many.{n}"), slow(2)))).collect();
    assert_eq!(take(&store, &charges).await.refused, None);
    assert!(admits(&store, &charges[63]).await);
    assert_eq!(take(&store, &charges).await.refused, Some(63));
    for charge in &charges[..63] {
        assert_eq!(remaining(&store, charge).await, 1);
    }
}

async fn slots_are_given_back_by_whoever_took_them(store: Store, pass: &impl AsyncFn(Duration)) {
    let charge = charge(budget("slots", Measure::Slots(2)));
    let (one, other, stranger) = (fresh_slot(), fresh_slot(), fresh_slot());
    let charges = [charge.clone()];
    for slot in [one, other] {
        assert_eq!(store.take(&charges, slot).await.unwrap().refused, None);
    }
    assert!(!admits(&store, &charge).await);
    let back = |slot| Correction::Slot { charge: charge.clone(), slot };
    store.correct(vec![back(stranger), back(one), back(one)]);
    settles(&store, pass, &charge, 1).await;
    pass(SLACK).await;
    assert_eq!(remaining(&store, &charge).await, 1, "given back once, by whoever had taken it");
    store.correct(vec![back(other)]);
    settles(&store, pass, &charge, 2).await;
}

async fn a_refusal_begins_a_block_that_ends(store: Store, pass: &impl AsyncFn(Duration)) {
    let charge = charge(blocking("block", quick(), (400, 400)));
    let begun = exhaust(&store, &charge).await;
    assert!(begun.blocked && begun.remaining == 0 && begun.reset >= begun.retry_after);
    between(390, begun.retry_after, 400);
    pass(Duration::from_millis(50)).await;
    let (admitted, standing) = take_one(&store, &charge).await;
    assert!(!admitted && standing.blocked, "the rate would admit it");
    assert!(
        standing.retry_after <= begun.retry_after.saturating_sub(Duration::from_millis(50)),
        "it is not lengthened"
    );
    pass(standing.retry_after + SLACK).await;
    assert!(admits(&store, &charge).await);
}

async fn blocks_in_a_row_grow_and_are_forgotten(store: Store, pass: &impl AsyncFn(Duration)) {
    let charge = charge(blocking("escalates", quick(), (500, 1000)));
    for most in [500, 1000, 1000] {
        let begun = exhaust(&store, &charge).await;
        assert!(begun.blocked);
        between(most - 10, begun.retry_after, most);
        pass(begun.retry_after + SLACK).await;
    }
    pass(Duration::from_millis(1000)).await;
    between(490, exhaust(&store, &charge).await.retry_after, 500);
}

async fn only_the_budget_that_refuses_blocks(store: Store, _: &impl AsyncFn(Duration)) {
    let charges = ["first", "second", "third"].map(|name| charge(blocking(name, slow(1), (60_000, 60_000))));
    assert!(admits(&store, &charges[1]).await && admits(&store, &charges[2]).await);
    let taken = take(&store, &charges).await;
    assert_eq!(taken.refused, Some(1));
    let blocked: Vec<bool> = taken.standings.iter().map(|standing| standing.blocked).collect();
    assert_eq!(blocked, [false, true, false]);
    assert_eq!(remaining(&store, &charges[0]).await, 1);
    assert!(!look(&store, &charges[2]).await.blocked);
}

async fn a_hold_refuses_and_is_lifted(store: Store, _: &impl AsyncFn(Duration)) {
    for (number, measure) in slow_measures(5).into_iter().enumerate() {
        let charge = charge(budget(&format!("hold.{number}"), measure));
        assert!(!store.lift(&charge).await.unwrap(), "there was none");
        assert!(admits(&store, &charge).await);
        store.hold(&charge, Duration::from_secs(60)).await.unwrap();
        let (admitted, standing) = take_one(&store, &charge).await;
        assert!(!admitted && standing.blocked && standing.remaining == 0);
        between(50_000, standing.retry_after, 60_000);
        assert!(store.lift(&charge).await.unwrap() && !store.lift(&charge).await.unwrap());
        let (admitted, standing) = take_one(&store, &charge).await;
        assert!(admitted && !standing.blocked);
        assert_eq!(standing.remaining, 3, "what was spent stays spent: {measure:?}");
    }
}

async fn a_hold_shortens_nothing(store: Store, pass: &impl AsyncFn(Duration)) {
    let charge = charge(budget("hold.short", Measure::Gcra { rate: rate(100, 1), burst: 5 }));
    store.hold(&charge, Duration::from_millis(300)).await.unwrap();
    store.hold(&charge, Duration::from_millis(1)).await.unwrap();
    let standing = look(&store, &charge).await;
    between(250, standing.retry_after, 300);
    pass(standing.retry_after + SLACK).await;
    assert!(admits(&store, &charge).await, "a hold ends by itself");
}

async fn lifting_forgets_earlier_blocks(store: Store, _: &impl AsyncFn(Duration)) {
    let charge = charge(blocking("lifted", quick(), (30_000, 60_000)));
    for _ in 0..2 {
        between(29_000, exhaust(&store, &charge).await.retry_after, 30_000);
        assert!(store.lift(&charge).await.unwrap());
    }
}

async fn a_look_changes_nothing(store: Store, _: &impl AsyncFn(Duration)) {
    let charges = [charge(blocking("look.a", slow(1), (60_000, 60_000))), charge(budget("look.b", Measure::Slots(1)))];
    for _ in 0..3 {
        let seen = store.look(&charges).await.unwrap();
        assert_eq!((seen.refused, seen.standings[0].remaining, seen.standings[1].remaining), (None, 1, 1));
    }
    assert_eq!(take(&store, &charges).await.refused, None);
    for _ in 0..3 {
        let seen = store.look(&charges).await.unwrap();
        assert_eq!(seen.refused, Some(0));
        assert!(!seen.standings[0].blocked && !seen.standings[0].retry_after.is_zero());
    }
}

async fn an_estimate_that_was_wrong_both_ways_ends_exact(store: Store, pass: &impl AsyncFn(Duration)) {
    for (number, measure) in slow_measures(10_000).into_iter().take(3).enumerate() {
        let estimate = Charge { cost: 1500, ..charge(budget(&format!("tokens.{number}"), measure)) };
        let mut settled = 0;
        for actual in [0, 1, 1499, 1500, 1501, 2777] {
            let at = take(&store, std::slice::from_ref(&estimate)).await.at;
            settled += actual;
            store.correct(vec![Correction::Cost { charge: estimate.clone(), at, actual }]);
            settles(&store, pass, &estimate, 10_000 - settled).await;
        }
        assert_eq!(settled, 7278);
        assert!(!admits(&store, &Charge { cost: 2723, ..estimate.clone() }).await);
        assert!(admits(&store, &Charge { cost: 2722, ..estimate }).await);
    }
}

async fn what_was_not_used_can_be_spent(store: Store, pass: &impl AsyncFn(Duration)) {
    for (number, measure) in slow_measures(10).into_iter().take(3).enumerate() {
        let all = Charge { cost: 10, ..charge(budget(&format!("unused.{number}"), measure)) };
        let at = take(&store, std::slice::from_ref(&all)).await.at;
        assert!(!admits(&store, &all).await);
        store.correct(vec![Correction::Cost { charge: all.clone(), at, actual: 0 }]);
        settles(&store, pass, &all, 10).await;
        assert!(admits(&store, &all).await && !admits(&store, &all).await, "and never beyond what is full");
    }
}

async fn a_debt_is_paid_before_more_is_spent(store: Store, pass: &impl AsyncFn(Duration)) {
    let one = charge(budget("debt", Measure::Gcra { rate: rate(100, 1), burst: 10 }));
    let at = take(&store, std::slice::from_ref(&one)).await.at;
    store.correct(vec![Correction::Cost { charge: one.clone(), at, actual: 110 }]);
    settles(&store, pass, &one, 0).await;
    let standing = look(&store, &one).await;
    between(200, standing.retry_after, 1010);
    pass(standing.retry_after + SLACK).await;
    assert!(admits(&store, &one).await);
}

/// Does the same from several tasks at once; how much each was admitted.
async fn at_once<F>(store: &Store, task: impl Fn(Store, u64) -> F) -> Vec<u64>
where
    F: Future<Output = u64> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    for number in 0..TASKS {
        let admitted = task(Arc::clone(store), number);
        tasks.spawn(async move { (number, admitted.await) });
    }
    let mut admitted = tasks.join_all().await;
    admitted.sort_unstable();
    admitted.into_iter().map(|(_, admitted)| admitted).collect()
}

async fn of_many_at_once_exactly_as_many_as_may_are_admitted(store: Store, _: &impl AsyncFn(Duration)) {
    for (number, measure) in slow_measures(100).into_iter().enumerate() {
        let shared = charge(budget(&format!("at.once.{number}"), measure));
        let admitted = at_once(&store, |store, _| {
            let shared = shared.clone();
            async move {
                let mut admitted = 0;
                for _ in 0..20 {
                    admitted += u64::from(admits(&store, &shared).await);
                }
                admitted
            }
        });
        assert_eq!(admitted.await.iter().sum::<u64>(), 100, "{measure:?}");
    }
}

/// Tasks that name the same budgets in different orders.
async fn many_at_once_never_make_a_part_of_their_charges(store: Store, _: &impl AsyncFn(Duration)) {
    let own = |number| Charge { subject: Subject(number), ..charge(budget("part.own", slow(1000))) };
    let [tight, wide] = [("part.tight", 90), ("part.wide", 100)].map(|(name, most)| charge(budget(name, slow(most))));
    let admitted = at_once(&store, |store, number| {
        let mut charges = [own(number.into()), tight.clone(), wide.clone()];
        charges.rotate_left(usize::try_from(number % 3).unwrap());
        async move {
            let mut admitted = 0;
            for _ in 0..15 {
                admitted += u64::from(take(&store, &charges).await.refused.is_none());
            }
            admitted
        }
    });
    let admitted = admitted.await;
    assert_eq!(admitted.iter().sum::<u64>(), 90);
    assert_eq!((remaining(&store, &tight).await, remaining(&store, &wide).await), (0, 10));
    for (number, admitted) in (0..).zip(admitted) {
        assert_eq!(remaining(&store, &own(number)).await, 1000 - admitted);
    }
}
