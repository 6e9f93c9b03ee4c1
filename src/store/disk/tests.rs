//! What only the disk store promises: that what was acknowledged is there after a stop, a kill and a
//! failure of the disk, and that a bad directory or file is refused in plain words.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use proptest::prelude::*;
use redb::backends::FileBackend;
use redb::{Database, StorageBackend, TableDefinition};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::file::{FILE, Store};
use super::*;
use crate::store::DEFAULT_LIMIT;
use crate::store::contract::{self, berth, fresh, key, seen};
use crate::store::model::{self, Model};
use crate::store::roster::contract::{order, report};
use crate::store::roster::{Report, Roster, Version, Wish};

const DEADLINE: Duration = Duration::from_secs(30);

fn open(directory: &TempDir) -> Disk {
    Disk::open(directory.path(), DEFAULT_LIMIT).unwrap()
}

fn refused(directory: &Path) -> OpenError {
    Disk::open(directory, DEFAULT_LIMIT).expect_err("must be refused")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn disk_keeps_the_contract() {
    let directories = Mutex::new(Vec::new());
    contract::suite(|| async {
        let directory = TempDir::new().unwrap();
        let store: Arc<dyn Sessions> = Arc::new(open(&directory));
        directories.lock().unwrap().push(directory);
        store
    })
    .await;
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]
    #[test]
    fn disk_agrees_with_the_model_also_after_each_stop(
        runs in prop::collection::vec(model::acts(25), 1..4)
    ) {
        let directory = TempDir::new().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut model = Model::default();
        for acts in runs {
            let store = open(&directory);
            runtime.block_on(model::compare(&store, &model));
            runtime.block_on(model::agree(&store, &mut model, acts));
        }
        runtime.block_on(model::compare(&open(&directory), &model));
    }
}

#[tokio::test]
async fn a_stop_loses_nothing() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    let ring = store.keys(key(1, 2)).await.unwrap();
    for n in 0..4 {
        assert_eq!(store.create(SessionId(n), fresh(5)).await.unwrap(), Created::Done);
    }
    assert_eq!(store.moor(SessionId(1), Epoch(0), berth(1)).await.unwrap(), Moved::Done);
    store.end(SessionId(2), 1000).await.unwrap();
    store.touch(&[seen(SessionId(3), 77)]).await.unwrap();
    drop(store);

    let store = open(&directory);
    assert_eq!(store.keys(key(9, 9)).await.unwrap(), ring);
    let held = |id| store.held.map.load(SessionId(id));
    assert_eq!(held(0), Lookup::Live(Arc::new(fresh(5))));
    assert_eq!(held(1), Lookup::Live(Arc::new(Record { berth: berth(1), ..fresh(5) })));
    assert_eq!(held(2), Lookup::Ended);
    assert_eq!(held(3), Lookup::Live(Arc::new(Record { last_seen: 77, ..fresh(5) })));
    assert_eq!(store.count().await.unwrap(), 3);
    let idle = Sweep { now: 70, idle: Duration::from_secs(60), lifetime: Duration::from_secs(100), limit: 9 };
    assert_eq!(store.expire(idle).await.unwrap().len(), 2, "sessions that were read can expire");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn disk_keeps_the_contract_of_rosters() {
    let directories = Mutex::new(Vec::new());
    crate::store::roster::contract::suite(async || {
        let directory = TempDir::new().unwrap();
        let store: Arc<dyn Roster> = Arc::new(open(&directory));
        directories.lock().unwrap().push(directory);
        store
    })
    .await;
}

#[tokio::test]
async fn orders_outlive_a_stop_and_cards_do_not() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    store.report(report(5, "card")).await.unwrap();
    let drained = store.order(order(1, Wish::Drain, "ann \"a\""), 100).await.unwrap();
    store.order(order(2, Wish::Drain, "ann"), 100).await.unwrap();
    let served = store.order(order(2, Wish::Serve, "bob"), 100).await.unwrap();
    drop(store);
    let store = open(&directory);
    let muster = store.report(Report { known: Some(Version(0)), ..report(6, "card") }).await.unwrap();
    assert_eq!(muster.orders, Some(vec![drained, served.clone()]), "whoever starts knows none");
    assert_eq!(muster.present.len(), 1);
    let later = store.order(order(2, Wish::Drain, "cleo"), 100).await.unwrap();
    assert!(later.at > served.at);
}

// --- kill -9

const CHILD: &str = "store::disk::tests::the_child_that_is_killed";
const CHILD_DIRECTORY: &str = "MOORLINE_TEST_KILLED_DIRECTORY";
const CHILD_BASE: &str = "MOORLINE_TEST_KILLED_BASE";

/// Not a test of its own: what `kill_loses_nothing_acknowledged` runs as another process. Says what was acknowledged.
#[test]
fn the_child_that_is_killed() {
    let Ok(directory) = std::env::var(CHILD_DIRECTORY) else { return };
    let base: u128 = std::env::var(CHILD_BASE).unwrap().parse().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(Disk::open(Path::new(&directory), DEFAULT_LIMIT).unwrap());
        let mut tasks = JoinSet::new();
        for first in 0..8 {
            let store = Arc::clone(&store);
            tasks.spawn(async move {
                for id in (base + first..).step_by(8) {
                    live_a_life(&store, SessionId(id)).await;
                }
            });
        }
        tasks.join_all().await;
    });
}

async fn live_a_life(store: &Disk, id: SessionId) {
    let say = |what: &str| writeln!(io::stdout().lock(), "ack {what} {}", id.0).unwrap();
    assert_eq!(store.create(id, fresh(5)).await.unwrap(), Created::Done);
    say("created");
    assert_eq!(store.moor(id, Epoch(0), berth(1)).await.unwrap(), Moved::Done);
    say("moored");
    if id.0.is_multiple_of(3) {
        assert!(store.end(id, 1000).await.unwrap().is_some());
        say("ended");
    }
}

/// A child that is killed whatever becomes of the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn kill_loses_nothing_acknowledged() {
    let directory = TempDir::new().unwrap();
    let mut acknowledged = Vec::new();
    for (round, lines) in [1_usize, 150, 400].into_iter().enumerate() {
        let mut child = Killed(
            Command::new(std::env::current_exe().unwrap())
                .args(["--exact", CHILD, "--nocapture", "--test-threads=1"])
                .env(CHILD_DIRECTORY, directory.path())
                .env(CHILD_BASE, (round * 1_000_000).to_string())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap(),
        );
        let said = BufReader::new(child.0.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut said = said.filter_map(|line| Some(line.split_once("ack ")?.1.to_owned()));
        acknowledged.extend(said.by_ref().take(lines));
        child.0.kill().unwrap();
        acknowledged.extend(said);
        drop(child);
        check_acknowledged(&open(&directory), &acknowledged);
    }
    assert!(acknowledged.len() >= 551, "{}", acknowledged.len());
}

fn check_acknowledged(store: &Disk, acknowledged: &[String]) {
    for line in acknowledged {
        let (what, id) = line.split_once(' ').unwrap();
        let held = store.held.map.load(SessionId(id.parse().unwrap()));
        let kept = match (what, &held) {
            ("created" | "moored" | "ended", Lookup::Ended) | ("created", Lookup::Live(_)) => true,
            ("moored", Lookup::Live(record)) => record.berth == berth(1),
            _ => false,
        };
        assert!(kept, "{line}: {held:?}");
    }
}

// --- a disk that fails

/// A file on a disk that can fail, and counts how often it was told to write through.
#[derive(Debug)]
struct Shaky {
    file: FileBackend,
    switch: Arc<Switch>,
}

#[derive(Debug, Default)]
struct Switch {
    broken: AtomicBool,
    syncs: AtomicUsize,
}

#[derive(Debug)]
struct ShakyHome {
    path: PathBuf,
    switch: Arc<Switch>,
}

impl Switch {
    fn check(&self) -> io::Result<()> {
        if self.broken.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

impl StorageBackend for Shaky {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.switch.check()?;
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.switch.check()?;
        self.switch.syncs.fetch_add(1, Ordering::SeqCst);
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.switch.check()?;
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }
}

impl Home for ShakyHome {
    fn open(&self) -> Result<Store, OpenError> {
        let file = fs::OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&self.path).unwrap();
        let switch = Arc::clone(&self.switch);
        Store::open(Shaky { file: FileBackend::new(file).unwrap(), switch }, &self.path)
    }
}

fn open_shaky(directory: &TempDir) -> (Disk, Arc<Switch>) {
    let switch = Arc::new(Switch::default());
    let home = ShakyHome { path: directory.path().join(FILE), switch: Arc::clone(&switch) };
    let pace = WriterPace { linger: Duration::from_millis(20), retry: Duration::from_millis(20) };
    (Disk::open_home(Box::new(home), DEFAULT_LIMIT, pace).unwrap(), switch)
}

async fn until_writable(store: &Disk) {
    let mended = async {
        while store.flush().await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, mended).await.expect("the disk is tried again");
}

#[tokio::test]
async fn a_failing_disk_refuses_changes_answers_reads_and_mends() {
    let directory = TempDir::new().unwrap();
    let (store, switch) = open_shaky(&directory);
    assert_eq!(store.create(SessionId(1), fresh(5)).await.unwrap(), Created::Done);

    switch.broken.store(true, Ordering::SeqCst);
    let answer = store.moor(SessionId(1), Epoch(0), berth(1)).await;
    assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
    for id in 2..50 {
        let answer = store.create(SessionId(id), fresh(5)).await;
        assert!(matches!(answer, Err(StoreError::Unavailable { .. })), "{answer:?}");
        assert_eq!(store.load(SessionId(id)).await.unwrap(), Lookup::Unknown, "a refused change is not made");
    }
    assert!(matches!(store.flush().await, Err(StoreError::Unavailable { .. })));
    assert!(matches!(store.load(SessionId(1)).await.unwrap(), Lookup::Live(_)));
    store.touch(&[seen(SessionId(1), 99)]).await.unwrap();

    switch.broken.store(false, Ordering::SeqCst);
    until_writable(&store).await;
    assert_eq!(store.create(SessionId(2), fresh(5)).await.unwrap(), Created::Done);
    let held = store.load(SessionId(1)).await.unwrap();
    drop(store);
    let (store, _) = open_shaky(&directory);
    assert_eq!(store.load(SessionId(1)).await.unwrap(), held, "the late touch and the move that failed first");
    assert_eq!(store.count().await.unwrap(), 2);
}

#[tokio::test]
async fn a_file_that_is_lost_in_a_failure_is_written_anew() {
    let directory = TempDir::new().unwrap();
    let (store, switch) = open_shaky(&directory);
    let ring = store.keys(key(1, 2)).await.unwrap();
    for id in 0..20 {
        assert_eq!(store.create(SessionId(id), fresh(5)).await.unwrap(), Created::Done);
    }
    switch.broken.store(true, Ordering::SeqCst);
    assert!(store.end(SessionId(0), 1000).await.is_err());
    fs::remove_file(directory.path().join(FILE)).unwrap();
    switch.broken.store(false, Ordering::SeqCst);
    until_writable(&store).await;
    drop(store);
    let (store, _) = open_shaky(&directory);
    assert_eq!(store.count().await.unwrap(), 19);
    assert_eq!(store.keys(key(9, 9)).await.unwrap(), ring);
}

#[tokio::test]
async fn touches_reach_the_disk_unasked() {
    let directory = TempDir::new().unwrap();
    let (store, switch) = open_shaky(&directory);
    assert_eq!(store.create(SessionId(1), fresh(5)).await.unwrap(), Created::Done);
    let before = switch.syncs.load(Ordering::SeqCst);
    store.touch(&[seen(SessionId(1), 99)]).await.unwrap();
    let written = async {
        while switch.syncs.load(Ordering::SeqCst) == before {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, written).await.expect("written within the linger");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "measures real time, to be read by people and not judged")]
async fn many_creations_share_few_commits() {
    let directory = TempDir::new().unwrap();
    let (store, switch) = open_shaky(&directory);
    let store = Arc::new(store);
    let before = switch.syncs.load(Ordering::SeqCst);
    let start = std::time::Instant::now();
    let mut tasks = JoinSet::new();
    for first in 0..100_u128 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            for id in (first * 20)..(first * 20 + 20) {
                assert_eq!(store.create(SessionId(id), fresh(5)).await.unwrap(), Created::Done);
            }
        });
    }
    tasks.join_all().await;
    let (took, syncs) = (start.elapsed(), switch.syncs.load(Ordering::SeqCst) - before);
    println!("2000 creations by 100 callers: {syncs} syncs, {took:?}, {:.0}/s", 2000.0 / took.as_secs_f64());
    assert!(syncs < 1000, "{syncs} syncs for 2000 creations");
}

#[tokio::test]
async fn a_full_disk_store_stays_full_after_a_stop() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    for id in 0..3 {
        assert_eq!(store.create(SessionId(id), fresh(5)).await.unwrap(), Created::Done);
    }
    drop(store);
    let store = Disk::open(directory.path(), 2).unwrap();
    assert_eq!(store.count().await.unwrap(), 3, "what is there stays, whatever the limit is now");
    assert!(matches!(store.create(SessionId(9), fresh(5)).await, Err(StoreError::Full { limit: 2 })));
}

// --- opening

#[test]
fn a_path_that_is_no_directory_is_refused() {
    let directory = TempDir::new().unwrap();
    let nowhere = directory.path().join("nowhere");
    assert!(matches!(refused(&nowhere), OpenError::NotADirectory { path } if path == nowhere));
    let file = directory.path().join("file");
    fs::write(&file, "x").unwrap();
    assert!(matches!(refused(&file), OpenError::NotADirectory { .. }));
}

#[test]
fn a_directory_belongs_to_one_at_a_time() {
    let directory = TempDir::new().unwrap();
    let held = open(&directory);
    assert!(matches!(refused(directory.path()), OpenError::InUse { .. }));
    drop(held);
    open(&directory);
}

#[test]
fn a_place_where_nobody_may_write_is_refused() {
    // /proc refuses new files even to root.
    let error = refused(Path::new("/proc/self"));
    assert!(matches!(error, OpenError::NoPermission { .. } | OpenError::Io { .. }), "{error:?}");
}

#[test]
fn a_file_that_is_something_else_is_refused_and_left_alone() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join(FILE);
    for content in [b"[store]\n".repeat(1000), vec![0; 8192], b"redb".to_vec()] {
        fs::write(&path, &content).unwrap();
        let error = refused(directory.path());
        assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
        assert!(error.to_string().contains("is damaged; put a backup in its place"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), content);
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_or_read_and_never_panics() {
    let directory = TempDir::new().unwrap();
    let store = open(&directory);
    for id in 0..200 {
        assert_eq!(store.create(SessionId(id), fresh(5)).await.unwrap(), Created::Done);
    }
    drop(store);
    let path = directory.path().join(FILE);
    let whole = fs::read(&path).unwrap();
    let mut refusals = 0;
    for n in 0..64 {
        let mut bytes = whole.clone();
        let at = n * bytes.len() / 64;
        let end = bytes.len().min(at + 64);
        bytes[at..end].fill(0x5a);
        fs::write(&path, bytes).unwrap();
        match Disk::open(directory.path(), DEFAULT_LIMIT) {
            Err(OpenError::Damaged { .. }) => refusals += 1,
            Err(other) => panic!("{n}: {other:?}"),
            Ok(store) => assert_eq!(store.count().await.unwrap(), 200, "{n}"),
        }
    }
    assert!(refusals > 0);
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let error = refused(directory.path());
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[test]
fn an_entry_that_cannot_be_read_is_refused() {
    let directory = TempDir::new().unwrap();
    drop(open(&directory));
    write_row(&directory, TableDefinition::<u128, &[u8]>::new("sessions"), 5, b"not json".as_slice());
    assert!(matches!(refused(directory.path()), OpenError::Damaged { .. }));
}

#[test]
fn a_later_format_is_refused() {
    let directory = TempDir::new().unwrap();
    drop(open(&directory));
    write_row(&directory, TableDefinition::<&str, u64>::new("meta"), "format", 2);
    let error = refused(directory.path());
    assert!(matches!(error, OpenError::NewerFormat { found: 2, known: 1, .. }), "{error:?}");
}

fn write_row<'a, K: redb::Key + 'static, V: redb::Value + 'static>(
    directory: &TempDir,
    table: TableDefinition<'_, K, V>,
    key: K::SelfType<'a>,
    value: V::SelfType<'a>,
) {
    let database = Database::create(directory.path().join(FILE)).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.open_table(table).unwrap().insert(key, value).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn what_a_killed_first_start_left_behind_is_no_hindrance() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("moorline.redb.new"), vec![0; 8192]).unwrap();
    drop(open(&directory));
    assert!(directory.path().join(FILE).exists());
    assert!(!directory.path().join("moorline.redb.new").exists());
}

#[cfg(unix)]
#[test]
fn nobody_else_may_read_the_keys() {
    use std::os::unix::fs::PermissionsExt;
    let directory = TempDir::new().unwrap();
    let _store = open(&directory);
    let mode = fs::metadata(directory.path().join(FILE)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}
