//! The laws that every store keeps, run against each of them. Owns what callers may rely on; how a store
//! does it, and what only one of them promises (durability, say), is tested beside that store.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::keys::MAX_KEYS;
use super::record::{MAX_BACKEND_SESSION, MAX_INITIALIZE, MAX_SUBSCRIPTIONS, MAX_URI, MAX_WORD};
use super::{
    Berth, Claimed, Created, Journal, JournalEdit, Lease, Lookup, Moved, MoverId, Record, SealingKey, Seen, Sessions,
    StoreError, Sweep,
};
use crate::clock::Clock;
use crate::names::{BackendId, CallerDigest, Epoch, PoolId, SessionId};

const IDLE: Duration = Duration::from_secs(3600);
const LIFETIME: Duration = Duration::from_secs(86_400);
const ID: SessionId = SessionId(0x1111_2222_3333_4444_5555_6666_7777_8888);
const OTHER: SessionId = SessionId(0x9999);
const CALLERS: usize = 16;

type Store = Arc<dyn Sessions>;

/// Runs every law, each against a store of its own. Needs a runtime of several threads to be worth its name.
pub async fn suite<M, F>(make: M)
where
    M: Fn() -> F,
    F: Future<Output = Store>,
{
    macro_rules! laws {
        ($($law:ident)*) => {$(
            // A captured line that names the law which was running, should it fail.
            println!("law: {}", stringify!($law));
            $law(make().await).await;
        )*};
    }
    laws! {
        an_unknown_id_is_unknown
        create_then_load
        second_create_is_refused
        of_many_concurrent_creates_exactly_one_wins
        moor_is_a_compare_and_swap
        moor_refuses_a_berth_that_does_not_follow
        of_many_concurrent_moors_exactly_one_wins
        journal_edits_are_idempotent
        journal_edits_show_in_the_record
        concurrent_edits_lose_nothing
        a_move_keeps_the_journal
        subscriptions_are_bounded
        nothing_beyond_its_bound_is_taken
        touch_never_goes_back
        touch_passes_over_the_unknown
        touch_tells_what_is_not_as_believed
        of_many_concurrent_claims_exactly_one_wins
        a_claim_is_for_one_epoch
        a_claim_ends_with_its_lease
        a_claim_is_given_back_by_its_holder_alone
        a_move_ends_the_claim
        ended_stays_ended
        of_many_concurrent_ends_exactly_one_gets_the_record
        an_unknown_session_can_be_ended
        expire_spares_the_recent
        expire_ends_no_more_than_its_limit
        expire_takes_each_session_once
        a_tombstone_falls_when_its_time_is_past
        a_prolonged_tombstone_stands
        adopt_brings_what_is_not_there
        adopt_takes_the_highest_epoch
        adopt_at_the_same_epoch_joins_the_journals
        adopt_revives_nothing
        keys_are_made_once_even_by_two_at_once
        keys_are_added_and_never_replaced
        the_ring_is_bounded
        count_counts_the_living
        flush_answers
    }
}

/// A record as a session has it when it begins.
pub fn fresh(now: u64) -> Record {
    let initialize = r#"{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"é\u0000\"☂"}}"#;
    Record {
        pool: PoolId(0xffff_fffe),
        journal: Journal::new(initialize.into(), CallerDigest([0xfe; 16])),
        berth: berth(0),
        created: now,
        last_seen: now,
    }
}

/// The berth of that epoch, unlike those of all others.
pub fn berth(epoch: u32) -> Berth {
    let backend_session = format!("backend-session-{epoch}").into();
    Berth { backend: BackendId(u64::MAX - u64::from(epoch)), backend_session, epoch: Epoch(epoch) }
}

/// A session that its instance believes at epoch 0.
pub fn seen(id: SessionId, at: u64) -> Seen {
    Seen { id, at, epoch: Epoch(0) }
}

/// A sealing key that no other number gives.
pub fn key(id: u32, made: u64) -> SealingKey {
    SealingKey { id, secret: [u8::try_from(id % 251).unwrap(); 32], made }
}

fn now() -> u64 {
    Clock::system().unix()
}

fn sweep(now: u64) -> Sweep {
    Sweep { now, idle: IDLE, lifetime: LIFETIME, limit: 1000 }
}

async fn loaded(store: &Store, id: SessionId) -> Record {
    match store.load(id).await.unwrap() {
        Lookup::Live(record) => Record::clone(&record),
        other => panic!("expected a live session, got {other:?}"),
    }
}

async fn with_one(store: &Store) -> Record {
    let record = fresh(now());
    assert_eq!(store.create(ID, record.clone()).await.unwrap(), Created::Done);
    record
}

/// Does the same from several tasks at once; all answers.
async fn at_once<T, F>(store: &Store, task: impl Fn(Store, usize) -> F) -> Vec<T>
where
    F: Future<Output = Result<T, StoreError>> + Send + 'static,
    T: Send + 'static,
{
    let mut tasks = JoinSet::new();
    for n in 0..CALLERS {
        tasks.spawn(task(Arc::clone(store), n));
    }
    tasks.join_all().await.into_iter().map(Result::unwrap).collect()
}

fn is_bound<T>(answer: &Result<T, StoreError>, bound: usize) -> bool {
    matches!(answer, Err(StoreError::BoundExceeded { limit, .. }) if *limit == bound)
}

async fn an_unknown_id_is_unknown(store: Store) {
    assert_eq!(store.load(ID).await.unwrap(), Lookup::Unknown);
    assert_eq!(store.moor(ID, Epoch(0), berth(1)).await.unwrap(), Moved::Gone);
    assert!(!store.note(ID, JournalEdit::Initialized).await.unwrap());
    assert_eq!(store.load(ID).await.unwrap(), Lookup::Unknown);
}

async fn create_then_load(store: Store) {
    let record = with_one(&store).await;
    assert_eq!(loaded(&store, ID).await, record);
    assert_eq!(store.load(OTHER).await.unwrap(), Lookup::Unknown);

    let mut full = fresh(now());
    full.journal.result = Some(r#"{"serverInfo":{}}"#.into());
    full.journal.protocol_version = Some("2025-11-25".into());
    full.journal.initialized = true;
    full.journal.log_level = Some("".into());
    full.journal.subscriptions = ["file:///a b".into(), "".into(), "x:☂".into()].into();
    full.berth = Berth { backend_session: "".into(), ..berth(u32::MAX) };
    assert_eq!(store.create(OTHER, full.clone()).await.unwrap(), Created::Done);
    assert_eq!(loaded(&store, OTHER).await, full);
}

async fn second_create_is_refused(store: Store) {
    let record = with_one(&store).await;
    let mut second = fresh(now());
    second.pool = PoolId(5);
    assert_eq!(store.create(ID, second).await.unwrap(), Created::AlreadyExists);
    assert_eq!(loaded(&store, ID).await, record);
}

async fn of_many_concurrent_creates_exactly_one_wins(store: Store) {
    let answers = at_once(&store, |store, n| async move {
        let mut record = fresh(now());
        record.pool = PoolId(u32::try_from(n).unwrap());
        Ok((record.pool, store.create(ID, record).await?))
    })
    .await;
    let won: Vec<_> = answers.iter().filter(|(_, created)| *created == Created::Done).collect();
    assert_eq!(won.len(), 1);
    assert_eq!(loaded(&store, ID).await.pool, won[0].0);
}

async fn moor_is_a_compare_and_swap(store: Store) {
    with_one(&store).await;
    assert_eq!(store.moor(ID, Epoch(0), berth(1)).await.unwrap(), Moved::Done);
    assert_eq!(loaded(&store, ID).await.berth, berth(1));
    let late = Berth { backend: BackendId(7), ..berth(1) };
    assert_eq!(store.moor(ID, Epoch(0), late).await.unwrap(), Moved::Lost(berth(1)));
    assert_eq!(store.moor(ID, Epoch(4), berth(5)).await.unwrap(), Moved::Lost(berth(1)));
    assert_eq!(loaded(&store, ID).await.berth, berth(1));
    assert_eq!(store.moor(ID, Epoch(1), berth(2)).await.unwrap(), Moved::Done);
}

async fn moor_refuses_a_berth_that_does_not_follow(store: Store) {
    let record = with_one(&store).await;
    for (expected, given) in [(0, 0), (0, 2), (1, 1), (u32::MAX, 0), (u32::MAX, u32::MAX)] {
        let answer = store.moor(ID, Epoch(expected), berth(given)).await;
        assert!(matches!(answer, Err(StoreError::WrongEpoch { .. })), "{expected} then {given}: {answer:?}");
    }
    assert_eq!(loaded(&store, ID).await, record);
}

async fn of_many_concurrent_moors_exactly_one_wins(store: Store) {
    with_one(&store).await;
    let offer = |n: usize| Berth { backend: BackendId(n as u64), ..berth(1) };
    let answers =
        at_once(&store, move |store, n| async move { Ok((n, store.moor(ID, Epoch(0), offer(n)).await?)) }).await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(_, moved)| *moved == Moved::Done);
    assert_eq!(won.len(), 1);
    let current = offer(won[0].0);
    assert!(lost.iter().all(|(_, moved)| *moved == Moved::Lost(current.clone())), "{lost:?}");
    assert_eq!(loaded(&store, ID).await.berth, current);
}

fn edits() -> [JournalEdit; 5] {
    [
        JournalEdit::Initialized,
        JournalEdit::LogLevel("debug".into()),
        JournalEdit::Subscribe("file:///kept".into()),
        JournalEdit::Unsubscribe("file:///never".into()),
        JournalEdit::Result { result: r#"{"a":"\u2602"}"#.into(), protocol_version: Some("2025-06-18".into()) },
    ]
}

async fn journal_edits_are_idempotent(store: Store) {
    with_one(&store).await;
    for edit in edits() {
        assert!(store.note(ID, edit.clone()).await.unwrap());
        let once = loaded(&store, ID).await;
        assert!(store.note(ID, edit).await.unwrap());
        assert_eq!(loaded(&store, ID).await, once);
    }
}

async fn journal_edits_show_in_the_record(store: Store) {
    let mut record = with_one(&store).await;
    let more = [
        JournalEdit::Subscribe("file:///dropped".into()),
        JournalEdit::Unsubscribe("file:///dropped".into()),
        JournalEdit::LogLevel("error".into()),
    ];
    for edit in edits().into_iter().chain(more) {
        assert!(store.note(ID, edit.clone()).await.unwrap());
        record.journal.apply(edit).unwrap();
    }
    assert_eq!(record.journal.subscriptions, ["file:///kept".into()].into());
    assert_eq!(loaded(&store, ID).await, record);
    let unversioned = JournalEdit::Result { result: "{}".into(), protocol_version: None };
    assert!(store.note(ID, unversioned).await.unwrap());
    assert_eq!(loaded(&store, ID).await.journal.protocol_version, None);
}

async fn concurrent_edits_lose_nothing(store: Store) {
    with_one(&store).await;
    let uri = |n: usize| -> Box<str> { format!("file:///{n}").into() };
    let taken =
        at_once(&store, move |store, n| async move { store.note(ID, JournalEdit::Subscribe(uri(n))).await }).await;
    assert!(taken.into_iter().all(|taken| taken));
    assert_eq!(loaded(&store, ID).await.journal.subscriptions, (0..CALLERS).map(uri).collect());
}

async fn a_move_keeps_the_journal(store: Store) {
    let record = with_one(&store).await;
    assert!(store.note(ID, JournalEdit::Initialized).await.unwrap());
    assert_eq!(store.moor(ID, Epoch(0), berth(1)).await.unwrap(), Moved::Done);
    let journal = Journal { initialized: true, ..record.journal.clone() };
    assert_eq!(loaded(&store, ID).await, Record { journal, berth: berth(1), ..record });
}

async fn subscriptions_are_bounded(store: Store) {
    let mut record = fresh(now());
    let uri = |n: usize| -> Box<str> { format!("file:///{n}").into() };
    record.journal.subscriptions = (1..MAX_SUBSCRIPTIONS).map(uri).collect();
    assert_eq!(store.create(ID, record).await.unwrap(), Created::Done);
    assert!(store.note(ID, JournalEdit::Subscribe(uri(0))).await.unwrap(), "the last that fits");
    let one_more = store.note(ID, JournalEdit::Subscribe("file:///more".into())).await;
    assert!(is_bound(&one_more, MAX_SUBSCRIPTIONS), "{one_more:?}");
    assert!(store.note(ID, JournalEdit::Subscribe(uri(0))).await.unwrap(), "one that is there already");
    assert_eq!(loaded(&store, ID).await.journal.subscriptions.len(), MAX_SUBSCRIPTIONS);
    assert!(store.note(ID, JournalEdit::Unsubscribe(uri(0))).await.unwrap());
    assert!(store.note(ID, JournalEdit::Subscribe("file:///more".into())).await.unwrap());
}

async fn nothing_beyond_its_bound_is_taken(store: Store) {
    let record = with_one(&store).await;
    let long = |bound: usize| -> Box<str> { "x".repeat(bound + 1).into() };
    let result = JournalEdit::Result { result: long(MAX_INITIALIZE), protocol_version: None };
    let version = JournalEdit::Result { result: "{}".into(), protocol_version: Some(long(MAX_WORD)) };
    for (edit, bound) in [
        (JournalEdit::Subscribe(long(MAX_URI)), MAX_URI),
        (JournalEdit::LogLevel(long(MAX_WORD)), MAX_WORD),
        (result, MAX_INITIALIZE),
        (version, MAX_WORD),
    ] {
        assert!(is_bound(&store.note(ID, edit).await, bound));
    }
    for backend_session in [long(MAX_BACKEND_SESSION), "a b".into(), "a\r\nb".into(), "é".into()] {
        let bad = Berth { backend_session, ..berth(1) };
        assert!(is_bound(&store.moor(ID, Epoch(0), bad.clone()).await, MAX_BACKEND_SESSION));
        let bad = Record { berth: bad, ..fresh(now()) };
        assert!(is_bound(&store.create(OTHER, bad.clone()).await, MAX_BACKEND_SESSION));
        assert!(is_bound(&store.adopt(OTHER, bad).await, MAX_BACKEND_SESSION));
    }
    let mut bad = fresh(now());
    bad.journal.initialize = long(MAX_INITIALIZE);
    assert!(is_bound(&store.create(OTHER, bad).await, MAX_INITIALIZE));
    assert_eq!(loaded(&store, ID).await, record);
    assert_eq!(store.load(OTHER).await.unwrap(), Lookup::Unknown);
}

async fn touch_never_goes_back(store: Store) {
    let record = with_one(&store).await;
    let at = record.last_seen;
    for (touch, stands) in [(at + 10, at + 10), (at + 5, at + 10), (0, at + 10), (at + 11, at + 11)] {
        store.touch(&[seen(ID, touch)]).await.unwrap();
        assert_eq!(loaded(&store, ID).await, Record { last_seen: stands, ..record.clone() });
    }
    store.touch(&[seen(ID, at + 30), seen(ID, at + 20)]).await.unwrap();
    assert_eq!(loaded(&store, ID).await.last_seen, at + 30, "the same id twice in one batch");
}

async fn touch_passes_over_the_unknown(store: Store) {
    let record = with_one(&store).await;
    let at = record.last_seen + 1;
    store.end(OTHER, at + 1000).await.unwrap();
    store.touch(&[seen(SessionId(5), at), seen(OTHER, at), seen(ID, at)]).await.unwrap();
    assert_eq!(loaded(&store, ID).await.last_seen, at);
    assert_eq!(store.load(SessionId(5)).await.unwrap(), Lookup::Unknown);
    assert_eq!(store.load(OTHER).await.unwrap(), Lookup::Ended);
    store.touch(&[]).await.unwrap();
}

async fn touch_tells_what_is_not_as_believed(store: Store) {
    let record = with_one(&store).await;
    let at = record.last_seen + 1;
    assert_eq!(store.touch(&[seen(ID, at)]).await.unwrap(), [], "as believed");
    assert_eq!(store.moor(ID, Epoch(0), berth(1)).await.unwrap(), Moved::Done);
    store.end(OTHER, at + 1000).await.unwrap();
    let mut told = store.touch(&[seen(ID, at), seen(OTHER, at), seen(SessionId(5), at)]).await.unwrap();
    told.sort_by_key(|(id, _)| *id);
    let moved = Record { last_seen: at, berth: berth(1), ..record };
    let expected = [(SessionId(5), Lookup::Unknown), (OTHER, Lookup::Ended), (ID, Lookup::Live(Arc::new(moved)))];
    assert_eq!(told, expected);
    let knows = [Seen { id: ID, at, epoch: Epoch(1) }, Seen { id: ID, at, epoch: Epoch(2) }];
    assert_eq!(store.touch(&knows).await.unwrap(), [], "a higher epoch than the store's is no news to its caller");
}

fn lease(mover: u64, lasts: Duration) -> Lease {
    Lease { mover: MoverId(mover), now_millis: Clock::system().unix_millis(), lasts }
}

async fn of_many_concurrent_claims_exactly_one_wins(store: Store) {
    with_one(&store).await;
    let claim = |store: Store, n: usize| async move { store.claim(ID, Epoch(0), lease(n as u64, IDLE)).await };
    let answers = at_once(&store, claim).await;
    assert_eq!(answers.iter().filter(|answer| **answer == Claimed::Yours).count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| **answer == Claimed::Theirs).count(), CALLERS - 1, "{answers:?}");
}

async fn a_claim_is_for_one_epoch(store: Store) {
    assert_eq!(store.claim(ID, Epoch(0), lease(1, IDLE)).await.unwrap(), Claimed::Gone);
    with_one(&store).await;
    assert_eq!(store.moor(ID, Epoch(0), berth(1)).await.unwrap(), Moved::Done);
    assert_eq!(store.claim(ID, Epoch(0), lease(1, IDLE)).await.unwrap(), Claimed::Moved(berth(1)));
    assert_eq!(store.claim(ID, Epoch(1), lease(1, IDLE)).await.unwrap(), Claimed::Yours);
    store.end(ID, now() + 1000).await.unwrap();
    assert_eq!(store.claim(ID, Epoch(1), lease(1, IDLE)).await.unwrap(), Claimed::Gone);
}

async fn a_claim_ends_with_its_lease(store: Store) {
    with_one(&store).await;
    assert_eq!(store.claim(ID, Epoch(0), lease(1, Duration::from_millis(50))).await.unwrap(), Claimed::Yours);
    let falls = async {
        while store.claim(ID, Epoch(0), lease(2, IDLE)).await.unwrap() != Claimed::Yours {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), falls).await.unwrap();
    assert_eq!(store.claim(ID, Epoch(0), lease(1, IDLE)).await.unwrap(), Claimed::Theirs);
}

async fn a_claim_is_given_back_by_its_holder_alone(store: Store) {
    with_one(&store).await;
    store.release(ID, MoverId(1)).await.unwrap();
    assert_eq!(store.claim(ID, Epoch(0), lease(1, IDLE)).await.unwrap(), Claimed::Yours);
    assert_eq!(store.claim(ID, Epoch(0), lease(1, IDLE)).await.unwrap(), Claimed::Yours, "and again");
    store.release(ID, MoverId(2)).await.unwrap();
    assert_eq!(store.claim(ID, Epoch(0), lease(2, IDLE)).await.unwrap(), Claimed::Theirs);
    store.release(ID, MoverId(1)).await.unwrap();
    assert_eq!(store.claim(ID, Epoch(0), lease(2, IDLE)).await.unwrap(), Claimed::Yours);
}

async fn a_move_ends_the_claim(store: Store) {
    with_one(&store).await;
    assert_eq!(store.claim(ID, Epoch(0), lease(1, IDLE)).await.unwrap(), Claimed::Yours);
    assert_eq!(store.moor(ID, Epoch(0), berth(1)).await.unwrap(), Moved::Done);
    assert_eq!(store.claim(ID, Epoch(1), lease(2, IDLE)).await.unwrap(), Claimed::Yours);
}

async fn ended_stays_ended(store: Store) {
    let record = with_one(&store).await;
    let until = now() + 1000;
    assert_eq!(store.end(ID, until).await.unwrap().as_deref(), Some(&record));
    assert_eq!(store.end(ID, until).await.unwrap(), None);
    assert_eq!(store.load(ID).await.unwrap(), Lookup::Ended);
    assert_eq!(store.create(ID, fresh(now())).await.unwrap(), Created::AlreadyExists);
    assert_eq!(store.moor(ID, Epoch(0), berth(1)).await.unwrap(), Moved::Gone);
    assert!(!store.note(ID, JournalEdit::Initialized).await.unwrap());
    store.touch(&[seen(ID, until)]).await.unwrap();
    assert!(store.expire(sweep(now())).await.unwrap().is_empty());
    assert_eq!(store.load(ID).await.unwrap(), Lookup::Ended);
}

async fn of_many_concurrent_ends_exactly_one_gets_the_record(store: Store) {
    with_one(&store).await;
    let until = now() + 1000;
    let answers = at_once(&store, move |store, _| async move { store.end(ID, until).await }).await;
    assert_eq!(answers.into_iter().flatten().count(), 1);
    assert_eq!(store.count().await.unwrap(), 0);
}

async fn an_unknown_session_can_be_ended(store: Store) {
    assert_eq!(store.end(ID, now() + 1000).await.unwrap(), None);
    assert_eq!(store.load(ID).await.unwrap(), Lookup::Ended);
    assert_eq!(store.adopt(ID, fresh(now())).await.unwrap(), Lookup::Ended);
}

async fn expire_spares_the_recent(store: Store) {
    let start = now();
    let ids = [SessionId(1), SessionId(2), SessionId(3)];
    for id in ids {
        assert_eq!(store.create(id, fresh(start)).await.unwrap(), Created::Done);
    }
    let idle = IDLE.as_secs();
    store.touch(&[seen(ids[1], start + 1), seen(ids[2], start + 500)]).await.unwrap();
    assert!(store.expire(sweep(start + idle - 1)).await.unwrap().is_empty());

    let ended = store.expire(sweep(start + idle)).await.unwrap();
    assert_eq!(ended.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [ids[0]]);
    assert_eq!(*ended[0].1, fresh(start));
    assert_eq!(store.load(ids[0]).await.unwrap(), Lookup::Ended);
    assert_eq!(loaded(&store, ids[1]).await.last_seen, start + 1);

    let ended = store.expire(sweep(start + idle + 499)).await.unwrap();
    assert_eq!(ended.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [ids[1]]);
    assert_eq!(store.count().await.unwrap(), 1);
}

async fn expire_ends_no_more_than_its_limit(store: Store) {
    let start = now();
    for n in 0..10 {
        assert_eq!(store.create(SessionId(n), fresh(start)).await.unwrap(), Created::Done);
    }
    let sweep = Sweep { limit: 4, ..sweep(start + IDLE.as_secs()) };
    let mut ended = Vec::new();
    for _ in 0..10 {
        let batch = store.expire(sweep).await.unwrap();
        assert!(batch.len() <= 4, "{}", batch.len());
        ended.extend(batch.into_iter().map(|(id, _)| id));
    }
    ended.sort_unstable();
    assert_eq!(ended, (0..10).map(SessionId).collect::<Vec<_>>());
}

async fn expire_takes_each_session_once(store: Store) {
    let start = now();
    for n in 0..50 {
        assert_eq!(store.create(SessionId(n), fresh(start)).await.unwrap(), Created::Done);
    }
    let sweep = sweep(start + IDLE.as_secs());
    let answers = at_once(&store, move |store, _| async move { store.expire(sweep).await }).await;
    let mut ended: Vec<_> = answers.into_iter().flatten().map(|(id, _)| id).collect();
    ended.sort_unstable();
    assert_eq!(ended, (0..50).map(SessionId).collect::<Vec<_>>());
}

async fn a_tombstone_falls_when_its_time_is_past(store: Store) {
    let start = now();
    with_one(&store).await;
    store.end(ID, start + 100).await.unwrap();
    store.expire(sweep(start + 50)).await.unwrap();
    assert_eq!(store.load(ID).await.unwrap(), Lookup::Ended);
    store.expire(sweep(start + 100)).await.unwrap();
    assert_eq!(store.load(ID).await.unwrap(), Lookup::Unknown);
    assert_eq!(store.create(ID, fresh(start)).await.unwrap(), Created::Done);
}

async fn a_prolonged_tombstone_stands(store: Store) {
    let start = now();
    store.end(ID, start + 100).await.unwrap();
    store.end(ID, start + 200).await.unwrap();
    store.end(ID, start + 50).await.unwrap();
    store.expire(sweep(start + 199)).await.unwrap();
    assert_eq!(store.load(ID).await.unwrap(), Lookup::Ended);
    store.expire(sweep(start + 200)).await.unwrap();
    assert_eq!(store.load(ID).await.unwrap(), Lookup::Unknown);
}

async fn adopt_brings_what_is_not_there(store: Store) {
    let record = Record { berth: berth(3), ..fresh(now()) };
    assert_eq!(store.adopt(ID, record.clone()).await.unwrap(), Lookup::Live(Arc::new(record.clone())));
    assert_eq!(loaded(&store, ID).await, record);
    assert_eq!(store.count().await.unwrap(), 1);
    let ended = store.expire(sweep(record.last_seen + IDLE.as_secs())).await.unwrap();
    assert_eq!(ended.len(), 1, "an adopted session can expire like any other");
}

async fn adopt_takes_the_highest_epoch(store: Store) {
    let stored = Record { berth: berth(2), ..with_one(&store).await };
    let at = stored.last_seen;
    assert_eq!(store.moor(ID, Epoch(0), berth(1)).await.unwrap(), Moved::Done);
    assert_eq!(store.moor(ID, Epoch(1), berth(2)).await.unwrap(), Moved::Done);

    let mut lower = Record { berth: berth(1), last_seen: at + 5, ..fresh(at) };
    lower.journal.log_level = Some("debug".into());
    let stored = Record { last_seen: at + 5, ..stored };
    assert_eq!(store.adopt(ID, lower).await.unwrap(), Lookup::Live(Arc::new(stored.clone())));
    assert_eq!(loaded(&store, ID).await, stored);

    let mut higher = Record { berth: berth(7), ..fresh(at) };
    higher.journal.log_level = Some("error".into());
    let stands = Record { last_seen: at + 5, ..higher.clone() };
    for _ in 0..2 {
        assert_eq!(store.adopt(ID, higher.clone()).await.unwrap(), Lookup::Live(Arc::new(stands.clone())));
    }
    assert_eq!(loaded(&store, ID).await, stands);
    assert_eq!(store.count().await.unwrap(), 1);
}

async fn adopt_at_the_same_epoch_joins_the_journals(store: Store) {
    let mut stored = with_one(&store).await;
    for edit in [JournalEdit::Subscribe("a:1".into()), JournalEdit::LogLevel("info".into())] {
        stored.journal.apply(edit.clone()).unwrap();
        assert!(store.note(ID, edit).await.unwrap());
    }
    let mut other = fresh(stored.created);
    other.berth.backend = BackendId(3);
    other.journal.subscriptions = ["a:2".into()].into();
    other.journal.initialized = true;
    other.journal.result = Some("{}".into());
    let mut joined = stored;
    joined.journal.subscriptions.insert("a:2".into());
    joined.journal.initialized = true;
    joined.journal.result = Some("{}".into());
    for _ in 0..2 {
        assert_eq!(store.adopt(ID, other.clone()).await.unwrap(), Lookup::Live(Arc::new(joined.clone())));
    }
    assert_eq!(loaded(&store, ID).await, joined);
    other.journal.log_level = Some("debug".into());
    joined.journal.log_level = Some("debug".into());
    assert_eq!(store.adopt(ID, other).await.unwrap(), Lookup::Live(Arc::new(joined)));
}

async fn adopt_revives_nothing(store: Store) {
    with_one(&store).await;
    store.end(ID, now() + 1000).await.unwrap();
    let record = Record { berth: berth(9), ..fresh(now()) };
    assert_eq!(store.adopt(ID, record).await.unwrap(), Lookup::Ended);
    assert_eq!(store.load(ID).await.unwrap(), Lookup::Ended);
    assert_eq!(store.count().await.unwrap(), 0);
}

async fn keys_are_made_once_even_by_two_at_once(store: Store) {
    let rings = at_once(&store, |store, n| async move { store.keys(key(u32::try_from(n).unwrap(), 5)).await }).await;
    assert_eq!(rings[0].as_slice().len(), 1);
    assert!(rings.iter().all(|ring| *ring == rings[0]));
    assert_eq!(store.keys(key(99, 99)).await.unwrap(), rings[0]);
}

async fn keys_are_added_and_never_replaced(store: Store) {
    store.keys(key(1, 10)).await.unwrap();
    assert_eq!(store.add_key(key(2, 30)).await.unwrap().as_slice(), [key(2, 30), key(1, 10)]);
    let ring = store.add_key(key(3, 20)).await.unwrap();
    assert_eq!(ring.as_slice(), [key(2, 30), key(3, 20), key(1, 10)]);
    let other_secret = SealingKey { secret: [0xaa; 32], ..key(2, 30) };
    assert_eq!(store.add_key(other_secret).await.unwrap(), ring);
    assert_eq!(store.keys(key(9, 90)).await.unwrap(), ring);
}

async fn the_ring_is_bounded(store: Store) {
    let most = u32::try_from(MAX_KEYS).unwrap();
    at_once(&store, move |store, n| async move {
        for id in (0..=most).skip(n).step_by(CALLERS) {
            store.add_key(key(id, id.into())).await?;
        }
        Ok(())
    })
    .await;
    let ring = store.keys(key(999, 999)).await.unwrap();
    assert_eq!(ring.as_slice().len(), MAX_KEYS);
    assert_eq!((ring.newest(), ring.find(0)), (Some(&key(most, most.into())), None));
}

async fn count_counts_the_living(store: Store) {
    assert_eq!(store.count().await.unwrap(), 0);
    for n in 0..5 {
        assert_eq!(store.create(SessionId(n), fresh(now())).await.unwrap(), Created::Done);
    }
    store.end(SessionId(0), now() + 1000).await.unwrap();
    store.end(SessionId(77), now() + 1000).await.unwrap();
    assert_eq!(store.create(SessionId(1), fresh(now())).await.unwrap(), Created::AlreadyExists);
    assert_eq!(store.count().await.unwrap(), 4);
}

async fn flush_answers(store: Store) {
    store.flush().await.unwrap();
    let record = with_one(&store).await;
    store.touch(&[seen(ID, record.last_seen + 1)]).await.unwrap();
    store.flush().await.unwrap();
    assert_eq!(loaded(&store, ID).await.last_seen, record.last_seen + 1);
}
