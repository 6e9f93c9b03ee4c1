//! What an outage of the shared counters does, by name, and that all is exact again after it.

mod link;

use super::*;
use crate::config::Rate;
use crate::store::counters::{Block, Budget, BudgetId, Subject};
use link::{Instance, TIMEOUT, Way, World, until};

const WAYS: [Way; 3] = [Way::Down, Way::Hangs, Way::LosesAnswers];

fn rate(count: u64, seconds: u64) -> Rate {
    Rate { count: count.try_into().unwrap(), per: Duration::from_secs(seconds) }
}

fn charge(measure: Measure, cost: u64) -> Charge {
    let id = BudgetId(if matches!(measure, Measure::Slots(_)) { 2 } else { 1 });
    let budget = Budget { id, name: "calls".into(), measure, block: None };
    Charge { budget: Arc::new(budget), subject: Subject(7), cost }
}

fn with_block(charge: &Charge, seconds: u64) -> Charge {
    let lasts = Duration::from_secs(seconds);
    let budget = Budget { block: Some(Block { first: lasts, most: lasts }), ..Budget::clone(&charge.budget) };
    Charge { budget: Arc::new(budget), ..charge.clone() }
}

fn measures() -> [Measure; 3] {
    let rate = rate(30, 60);
    [Measure::Gcra { rate, burst: 30 }, Measure::FixedWindow(rate), Measure::SlidingWindow(rate)]
}

#[tokio::test]
async fn while_the_store_is_there_it_alone_decides() {
    let world = World::new(3);
    let one = Instance::start(&world, LimitsAway::Share).await;
    let other = Instance::start_skewed(&world, LimitsAway::Share, Duration::from_secs(3600)).await;
    for measure in measures() {
        let charge = Charge {
            subject: Subject(measures().iter().position(|m| *m == measure).unwrap() as u128),
            ..charge(measure, 1)
        };
        let admitted = one.admits(&charge, 20).await + other.admits(&charge, 20).await;
        assert_eq!(admitted, 30, "{measure:?}");
        let taken = other.takes(std::slice::from_ref(&charge), 0).await;
        assert_eq!((taken.at, taken.standings[0].remaining), (world.clock.micros(), 0), "by the store's clock");
    }
}

#[tokio::test]
async fn while_it_is_away_each_enforces_its_share_and_the_store_learns_of_it() {
    for way in WAYS {
        for measure in measures() {
            let world = World::new(3);
            let (one, other) =
                (Instance::start(&world, LimitsAway::Share).await, Instance::start(&world, LimitsAway::Share).await);
            let charge = charge(measure, 1);
            assert_eq!(one.admits(&charge, 5).await, 5);
            one.cut(way).await;
            other.cut(way).await;
            assert_eq!(one.admits(&charge, 6).await, 6);
            assert_eq!(other.admits(&charge, 20).await, 10, "a third, {way:?} {measure:?}");
            one.heal().await;
            other.heal().await;
            assert_eq!(world.remaining(&charge).await, 30 - 5 - 6 - 10, "{way:?} {measure:?}");
            assert_eq!(one.admits(&charge, 6).await + other.admits(&charge, 20).await, 9);
        }
    }
}

#[tokio::test]
async fn what_was_refilled_meanwhile_is_not_owed() {
    let world = World::new(1);
    let one = Instance::start(&world, LimitsAway::Share).await;
    let charge = charge(Measure::Gcra { rate: rate(60, 60), burst: 60 }, 1);
    one.cut(Way::Down).await;
    assert_eq!(one.admits(&charge, 60).await, 60);
    one.clock.advance(Duration::from_secs(45));
    world.clock.advance(Duration::from_secs(45));
    one.heal().await;
    assert_eq!(world.remaining(&charge).await, 45);
}

#[tokio::test]
async fn a_second_outage_does_not_charge_again_what_was_told_after_the_first() {
    let world = World::new(2);
    let one = Instance::start(&world, LimitsAway::Share).await;
    let charge = charge(Measure::FixedWindow(rate(30, 60)), 1);
    for (spent, left) in [(4, 26), (5, 21)] {
        one.cut(Way::Down).await;
        assert_eq!(one.admits(&charge, spent).await, spent);
        one.heal().await;
        assert_eq!(world.remaining(&charge).await, left);
    }
    // Nor is a share there again for each outage.
    one.cut(Way::Down).await;
    assert_eq!(one.admits(&charge, 30).await, 15 - 9);
}

#[tokio::test]
async fn limited_requests_are_refused_or_admitted_if_so_configured() {
    let world = World::new(3);
    let one = Instance::start(&world, LimitsAway::Refuse).await;
    let charges = [charge(Measure::FixedWindow(rate(30, 60)), 1)];
    one.cut(Way::Down).await;
    assert!(matches!(one.counters.take(&charges, SlotId(0)).await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(one.counters.look(&charges).await, Err(StoreError::Unavailable { .. })));
    one.counters.reconfigure(LimitsAway::Admit);
    for _ in 0..100 {
        let taken = one.takes(&charges, 0).await;
        assert_eq!((taken.refused, taken.standings.len()), (None, 0));
    }
    one.counters.reconfigure(LimitsAway::Share);
    assert_eq!(one.admits(&charges[0], 100).await, 10);
    assert_eq!(one.counters.look(&charges).await.unwrap().standings[0].remaining, 0);
}

#[tokio::test]
async fn nobody_waits_for_a_store_that_is_away() {
    let world = World::new(1);
    let one = Instance::start(&world, LimitsAway::Share).await;
    one.cut(Way::Hangs).await;
    let clock = Clock::system();
    let (calls, before) = (one.link.calls(), clock.now());
    let charge = charge(Measure::FixedWindow(rate(30, 60)), 1);
    one.admits(&charge, 1000).await;
    let (asked, took) = (one.link.calls() - calls, clock.now() - before);
    assert!(asked < 100 && took < TIMEOUT * 250, "{asked} asked in {took:?}");
}

#[tokio::test]
async fn the_share_is_that_of_the_instances_seen_last() {
    let world = World::new(3);
    let one = Instance::start(&world, LimitsAway::Share).await;
    world.instances.store(5, Ordering::Relaxed);
    until("the instances are counted again", || one.counters.instances().get() == 5).await;
    one.cut(Way::Down).await;
    world.instances.store(1, Ordering::Relaxed);
    assert_eq!(one.admits(&charge(Measure::FixedWindow(rate(30, 60)), 1), 30).await, 6);
}

fn cost(charge: &Charge, at: Micros, actual: u64) -> Correction {
    Correction::Cost { charge: charge.clone(), at, actual }
}

#[tokio::test]
async fn an_estimate_is_settled_wherever_it_was_charged() {
    for (actual, left) in [(3, 27), (9, 21)] {
        for skew in [0, 3600] {
            let world = World::new(1);
            let one = Instance::start_skewed(&world, LimitsAway::Share, Duration::from_secs(skew)).await;
            for measure in measures() {
                let subject = Subject(measures().iter().position(|m| *m == measure).unwrap() as u128);
                let charge = Charge { subject, ..charge(measure, 5) };
                // Made here, settled here.
                one.cut(Way::Down).await;
                let taken = one.takes(std::slice::from_ref(&charge), 0).await;
                one.counters.correct(vec![cost(&charge, taken.at, actual)]);
                one.heal().await;
                assert_eq!(world.remaining(&charge).await, left, "{measure:?} {actual}");
                // Made here, settled there.
                one.cut(Way::Down).await;
                let taken = one.takes(std::slice::from_ref(&charge), 0).await;
                one.heal().await;
                one.counters.correct(vec![cost(&charge, taken.at, actual)]);
                assert_eq!(world.remaining(&charge).await, left - actual, "{measure:?} {actual}");
                // Made there, settled here.
                let taken = one.takes(std::slice::from_ref(&charge), 0).await;
                one.cut(Way::Down).await;
                one.counters.correct(vec![cost(&charge, taken.at, actual)]);
                one.heal().await;
                assert_eq!(world.remaining(&charge).await, left - 2 * actual, "{measure:?} {actual}");
            }
        }
    }
}

#[tokio::test]
async fn slots_that_were_taken_here_are_held_there_and_given_back_once() {
    let world = World::new(2);
    let one = Instance::start(&world, LimitsAway::Share).await;
    let slot = charge(Measure::Slots(10), 1);
    let give_back = |id| vec![Correction::Slot { charge: slot.clone(), slot: SlotId(id) }];
    assert_eq!(one.takes(std::slice::from_ref(&slot), 100).await.refused, None);
    one.cut(Way::Down).await;
    for id in 0..5 {
        assert_eq!(one.takes(std::slice::from_ref(&slot), id).await.refused, None);
    }
    assert_eq!(one.takes(std::slice::from_ref(&slot), 5).await.refused, Some(0), "its share is five");
    one.counters.correct(give_back(0));
    assert_eq!(one.takes(std::slice::from_ref(&slot), 6).await.refused, None);
    one.counters.correct(give_back(1));
    one.heal().await;
    assert_eq!(world.remaining(&slot).await, 10 - 1 - 4);
    for id in [100, 2, 3, 4, 6] {
        one.counters.correct(give_back(id));
    }
    assert_eq!(world.remaining(&slot).await, 10);
    one.cut(Way::Down).await;
    for id in 0..5 {
        assert_eq!(one.takes(std::slice::from_ref(&slot), id).await.refused, None, "its share is whole again");
    }
}

#[tokio::test]
async fn holds_and_blocks_that_began_here_hold_there() {
    let world = World::new(1);
    let one = Instance::start(&world, LimitsAway::Share).await;
    let held = charge(Measure::FixedWindow(rate(30, 60)), 1);
    let blocked = Charge { subject: Subject(8), ..with_block(&held, 100) };
    one.cut(Way::Down).await;
    one.counters.hold(&held, Duration::from_secs(40)).await.unwrap();
    assert_eq!(one.admits(&blocked, 31).await, 30);
    one.clock.advance(Duration::from_secs(10));
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(one.admits(&held, 1).await, 0);
    one.heal().await;
    for (charge, left) in [(&held, 30), (&blocked, 90)] {
        let standing = world.memory.look(std::slice::from_ref(charge)).await.unwrap().standings[0];
        assert!(standing.blocked && standing.retry_after == Duration::from_secs(left), "{standing:?}");
    }
}

#[tokio::test]
async fn a_hold_outlasts_the_store_and_is_lifted_everywhere() {
    let world = World::new(1);
    let one = Instance::start(&world, LimitsAway::Share).await;
    let charge = charge(Measure::FixedWindow(rate(30, 60)), 1);
    one.counters.hold(&charge, Duration::from_secs(40)).await.unwrap();
    assert_eq!(one.admits(&charge, 1).await, 0);
    one.cut(Way::Down).await;
    assert_eq!(one.admits(&charge, 1).await, 0, "the pause of an upstream goes on");
    assert!(matches!(one.counters.lift(&charge).await, Err(StoreError::Unavailable { .. })), "others hold still");
    one.heal().await;
    assert!(one.counters.lift(&charge).await.unwrap());
    assert_eq!(one.admits(&charge, 1).await, 1);
}

#[tokio::test]
async fn a_single_failure_is_borne_and_told_later() {
    let world = World::new(1);
    let one = Instance::start(&world, LimitsAway::Share).await;
    let charge = charge(Measure::FixedWindow(rate(30, 60)), 1);
    one.link.goes(Way::Down);
    assert_eq!(one.admits(&charge, 1).await, 1, "here");
    one.heal().await;
    assert_eq!(world.remaining(&charge).await, 29);
}
