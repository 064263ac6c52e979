use std::fs;
use std::io::{ErrorKind, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Receiver, Sender};

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::base::reason::Reason;
use crate::telemetry::Unusual;

const PATIENCE: Duration = Duration::from_secs(20);

/// Names of the configuration, as a snapshot holds them.
static NAMES: LazyLock<[Escaped; 4]> =
    LazyLock::new(|| ["orders-read", "orders", "0a1b2c3d4e5f", "acme"].map(Escaped::new));

fn record(request_id: &str) -> Record<'_> {
    Record {
        time: Duration::from_micros(1_763_775_907_000_123),
        request_id: request_id.as_bytes(),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736"),
        client: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)),
        listener: "public",
        protocol: "HTTP/1.1",
        tls: Some("TLSv1.3"),
        method: b"GET",
        host: b"api.example.com",
        path: b"/api/orders/42",
        route: Some(&NAMES[0]),
        partner: Some(&NAMES[3]),
        auth: Some("jwt"),
        subject: Some("u-1"),
        status: 504,
        reason: Some(Reason::UpstreamTimeout),
        limit: Some("standard.rate_limit"),
        observed: &[Reason::RateLimited, Reason::ScopeMissing],
        anomaly: Some(Unusual {
            judged: Some((0.7104, 0.000_4)),
            action: Some("tag"),
            why: ["header bytes 9× this caller's usual", "path never seen", ""],
        }),
        cache: Some("expired"),
        upstream: Some(&NAMES[1]),
        endpoint: Some("10.0.0.8:8080".parse().unwrap()),
        attempts: 2,
        upstream_reused: true,
        request_bytes: 0,
        response_bytes: 312,
        connect: Some(Duration::from_micros(811)),
        first_byte: Some(Duration::from_millis(15)),
        total: Duration::from_micros(16_204),
        snapshot: &NAMES[2],
        user_agent: Some(b"curl/8.7.1"),
    }
}

fn line_of(record: &Record<'_>) -> Vec<u8> {
    let mut page = Page::default();
    line::append(&mut page, &mut Timestamp::new(), record);
    page.filled().to_vec()
}

fn log_into(sink: impl Write + Send + 'static, lines: usize) -> (AccessLog, Metrics) {
    let metrics = Metrics::new();
    let log = AccessLog::with_output(Output::new(Box::new(sink)), lines, 1, &metrics).unwrap();
    (log, metrics)
}

fn ids(log: &[u8]) -> Vec<String> {
    let parse = |line| serde_json::from_str::<Value>(line).unwrap()["request_id"].as_str().unwrap().to_owned();
    std::str::from_utf8(log).unwrap().lines().map(parse).collect()
}

/// Hands every batch over to the test.
struct Received(Sender<Vec<u8>>);

impl Write for Received {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.send(bytes.to_vec()).unwrap();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_has_the_fields_of_the_table_in_its_order() {
    let record = record("r-1");
    let line = String::from_utf8(line_of(&record)).unwrap();
    assert_eq!(
        line,
        concat!(
            r#"{"time":"2025-11-22T01:45:07.000123Z","request_id":"r-1","trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","#,
            r#""client":"203.0.113.7","listener":"public","protocol":"HTTP/1.1","tls":"TLSv1.3","method":"GET","#,
            r#""host":"api.example.com","path":"/api/orders/42","route":"orders-read","partner":"acme","auth":"jwt","#,
            r#""subject":"u-1","status":504,"#,
            r#""reason":"UPSTREAM_TIMEOUT","limit":"standard.rate_limit","observed":["RATE_LIMITED","SCOPE_MISSING"],"#,
            r#""anomaly_score":0.71,"anomaly_rarity":0.0004,"anomaly_action":"tag","#,
            r#""anomaly_why":["header bytes 9× this caller's usual","path never seen"],"#,
            r#""cache":"expired","upstream":"orders","endpoint":"10.0.0.8:8080","attempts":2,"#,
            r#""upstream_reused":true,"request_bytes":0,"response_bytes":312,"connect_us":811,"first_byte_us":15000,"#,
            r#""total_us":16204,"snapshot":"0a1b2c3d4e5f","user_agent":"curl/8.7.1"}"#,
            "\n"
        )
    );
    let Value::Object(fields) = serde_json::from_str(&line).unwrap() else { panic!("not an object") };
    let kinds: Vec<_> = fields
        .iter()
        .map(|(name, value)| {
            let kind = match value {
                Value::String(_) => "string",
                Value::Number(_) => "number",
                Value::Bool(_) => "boolean",
                Value::Array(_) => "array",
                _ => "unexpected",
            };
            (name.as_str(), kind)
        })
        .collect();
    let expected: Vec<_> = FIELDS.iter().map(|field| (field.name, field.kind)).collect();
    assert_eq!(kinds, expected);
}

#[test]
fn what_a_request_does_not_have_is_left_out() {
    let bare = Record {
        trace_id: None,
        tls: None,
        method: b"",
        host: b"",
        path: b"",
        route: None,
        partner: None,
        auth: None,
        subject: None,
        reason: None,
        limit: None,
        observed: &[],
        anomaly: None,
        cache: None,
        upstream: None,
        endpoint: None,
        connect: None,
        first_byte: None,
        user_agent: None,
        ..record("r-1")
    };
    let line: Value = serde_json::from_slice(&line_of(&bare)).unwrap();
    let names: Vec<_> = line.as_object().unwrap().keys().map(String::as_str).collect();
    let always: Vec<_> = FIELDS.iter().filter(|field| field.when.is_empty()).map(|field| field.name).collect();
    assert_eq!(names, always);
}

#[test]
fn long_texts_are_cut_between_characters() {
    let path = format!("/{}", "ä".repeat(4_000));
    let bytes = vec![0xFF; 2_000];
    let long = Record { path: path.as_bytes(), user_agent: Some(&bytes), ..record("r-1") };
    let line: Value = serde_json::from_slice(&line_of(&long)).unwrap();
    assert_eq!(line["path"].as_str().unwrap(), format!("/{}…", "ä".repeat(2_047)));
    assert_eq!(line["user_agent"].as_str().unwrap(), format!("{}…", "\u{FFFD}".repeat(512)));
}

#[test]
fn the_longest_line_has_room() {
    let escaped = [0; 5_000];
    let name = str::from_utf8(&escaped).unwrap();
    let configured = Escaped::new(name);
    let longest = SocketAddr::from(([0xffff; 8], 65_535));
    let record = Record {
        request_id: &escaped,
        trace_id: Some(name),
        client: longest.ip(),
        listener: name,
        method: &escaped,
        host: &escaped,
        path: &escaped,
        route: Some(&configured),
        partner: Some(&configured),
        auth: Some("certificate"),
        subject: Some(name),
        limit: Some(name),
        observed: Reason::ALL,
        anomaly: Some(Unusual { judged: Some((0.123, 0.123_456)), action: Some("challenge"), why: [name; 3] }),
        cache: Some("stale_error"),
        status: u16::MAX,
        upstream: Some(&configured),
        endpoint: Some(longest),
        attempts: u8::MAX,
        upstream_reused: false,
        request_bytes: u64::MAX,
        response_bytes: u64::MAX,
        connect: Some(Duration::MAX),
        first_byte: Some(Duration::MAX),
        total: Duration::MAX,
        snapshot: &configured,
        user_agent: Some(&escaped),
        ..record("")
    };
    for reason in Reason::ALL {
        let line: Value = serde_json::from_slice(&line_of(&Record { reason: Some(*reason), ..record })).unwrap();
        assert_eq!(line.as_object().unwrap().len(), FIELDS.len());
        assert_eq!(line["user_agent"].as_str().unwrap().len(), 512 + "…".len());
    }
}

#[test]
fn how_unusual_a_request_was_is_told_in_short() {
    let told = |judged, action| {
        let anomaly = Some(Unusual { judged, action, why: [""; 3] });
        let line = String::from_utf8(line_of(&Record { anomaly, ..record("r-1") })).unwrap();
        assert!(serde_json::from_str::<Value>(&line).is_ok(), "{line}");
        let (_, rest) = line.split_once(",\"anomaly_").unwrap_or_default();
        rest.split_once(",\"cache").unwrap_or_default().0.to_owned()
    };
    assert_eq!(told(Some((0.5, 1.0)), None), r#"score":0.5,"anomaly_rarity":1.0"#);
    assert_eq!(told(Some((0.999_9, 1e-9)), None), r#"score":1.0,"anomaly_rarity":0.000001"#);
    assert_eq!(told(Some((0.000_1, 0.25)), None), r#"score":0.0,"anomaly_rarity":0.25"#);
    assert_eq!(told(None, Some("throttle")), r#"action":"throttle""#);
    assert_eq!(told(None, None), "", "not enough data, and nothing done");
}

#[test]
fn what_steers_a_terminal_is_escaped() {
    let line = line_of(&Record { path: "/\u{1b}[31m\u{7f}\u{9b}31m".as_bytes(), ..record("r-1") });
    let line = String::from_utf8(line).unwrap();
    assert!(line.contains(r#""path":"/\u001b[31m\u007f\u009b31m""#), "{line}");
}

proptest! {
    #[test]
    fn whatever_a_client_sends_the_line_reads_back(
        method in proptest::collection::vec(any::<u8>(), 1..32),
        host in proptest::collection::vec(any::<u8>(), 1..256),
        path in prop_oneof![proptest::collection::vec(any::<u8>(), 1..600), "\\PC{1,200}".prop_map(String::into_bytes)],
        user_agent in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..512)),
        client in any::<IpAddr>(),
        endpoint in any::<SocketAddr>(),
        numbers in any::<(u64, u64, u16, u8)>(),
        micros in any::<(u64, u64, u64)>(),
    ) {
        let (request_bytes, response_bytes, status, attempts) = numbers;
        let record = Record {
            method: &method,
            host: &host,
            path: &path,
            user_agent: user_agent.as_deref(),
            client,
            endpoint: Some(endpoint),
            request_bytes,
            response_bytes,
            status,
            attempts,
            connect: Some(Duration::from_micros(micros.0)),
            first_byte: Some(Duration::from_micros(micros.1)),
            total: Duration::from_micros(micros.2),
            ..record("r-1")
        };
        let line = line_of(&record);
        prop_assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1), "one line");
        let line: Value = serde_json::from_slice(&line).unwrap();
        prop_assert_eq!(line["method"].as_str(), Some(&*String::from_utf8_lossy(&method)));
        prop_assert_eq!(line["host"].as_str(), Some(&*String::from_utf8_lossy(&host)));
        prop_assert_eq!(line["path"].as_str(), Some(&*String::from_utf8_lossy(&path)));
        let user_agent = user_agent.as_deref().map(String::from_utf8_lossy);
        prop_assert_eq!(line["user_agent"].as_str(), user_agent.as_deref());
        prop_assert_eq!(line["client"].as_str().map(str::parse), Some(Ok(client)));
        prop_assert_eq!(line["endpoint"].as_str().unwrap(), endpoint.to_string());
        prop_assert_eq!(line["request_bytes"].as_u64(), Some(request_bytes));
        prop_assert_eq!(line["response_bytes"].as_u64(), Some(response_bytes));
        prop_assert_eq!(line["status"].as_u64(), Some(u64::from(status)));
        prop_assert_eq!(line["attempts"].as_u64(), Some(u64::from(attempts)));
        prop_assert_eq!(line["connect_us"].as_u64(), Some(micros.0));
        prop_assert_eq!(line["first_byte_us"].as_u64(), Some(micros.1));
        prop_assert_eq!(line["total_us"].as_u64(), Some(micros.2));
    }
}

#[test]
fn lines_arrive_without_anybody_flushing() {
    let (batches, received) = mpsc::channel();
    let (log, _metrics) = log_into(Received(batches), 100);
    log.write(&record("r-1"));
    assert_eq!(ids(&received.recv_timeout(PATIENCE).unwrap()), ["r-1"]);
}

#[test]
fn shutdown_writes_every_line_of_every_thread() {
    let (batches, received) = mpsc::channel();
    let (log, metrics) = log_into(Received(batches), 1_000_000);
    thread::scope(|scope| {
        for thread in 0..4 {
            let log = &log;
            scope.spawn(move || (0..500).for_each(|n| log.write(&record(&format!("{thread}-{n:03}")))));
        }
    });
    log.shutdown(PATIENCE).unwrap();
    log.write(&record("too late"));
    drop(log);

    let ids = ids(&received.into_iter().flatten().collect::<Vec<_>>());
    for thread in 0..4 {
        let of_thread: Vec<_> = ids.iter().filter(|id| id.starts_with(&format!("{thread}-"))).collect();
        assert_eq!(of_thread.len(), 500);
        assert!(of_thread.is_sorted(), "a thread's lines keep their order");
    }
    assert_eq!(ids.len(), 2_000);
    assert_eq!(metrics.access_log_dropped().get(), 1, "the line after shutdown is counted");
}

/// Says that it was called, then waits to be let go.
struct Blocked {
    entered: Sender<()>,
    released: Receiver<()>,
    batches: Sender<Vec<u8>>,
}

impl Write for Blocked {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.entered.send(()).unwrap();
        // An error means that the test has let go for good.
        self.released.recv().ok();
        self.batches.send(bytes.to_vec()).unwrap();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_blocked_target_costs_lines_that_are_counted_and_never_blocks() {
    let (entered, has_entered) = mpsc::channel();
    let (release, released) = mpsc::channel();
    let (batches, received) = mpsc::channel();
    let (log, metrics) = log_into(Blocked { entered, released, batches }, 10);

    log.write(&record("first"));
    has_entered.recv_timeout(PATIENCE).unwrap();
    for n in 0..15 {
        log.write(&record(&format!("r-{n}")));
    }
    assert_eq!(metrics.access_log_dropped().get(), 5);
    assert_eq!(log.shutdown(Duration::ZERO), Err(ShutdownTimedOut), "shutdown does not wait for ever");

    drop(release);
    log.shutdown(PATIENCE).unwrap();
    drop(log);
    let written = ids(&received.into_iter().flatten().collect::<Vec<_>>());
    assert_eq!(written.len(), 11, "{written:?}");
    assert_eq!(metrics.access_log_dropped().get(), 5);
}

/// Has room for so many bytes; then refuses until a test makes room.
struct Disk {
    room: usize,
    content: Arc<Mutex<Vec<u8>>>,
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = bytes.len().min(self.room);
        if written == 0 {
            // Full once; somebody cleans up.
            self.room = usize::MAX;
            return Err(ErrorKind::StorageFull.into());
        }
        self.room -= written;
        lock(&self.content).extend_from_slice(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_full_disk_loses_counted_lines_and_the_next_ones_are_whole() {
    let content = Arc::default();
    let room = line_of(&record("1")).len() + 10;
    let mut output = Output::new(Box::new(Disk { room, content: Arc::clone(&content) }));
    let batch = ["1", "2", "3"].map(|id| line_of(&record(id))).concat();

    let failed = output.write(&batch).unwrap_err();
    assert_eq!((failed.error.kind(), failed.lines), (ErrorKind::StorageFull, 2));
    output.write(&line_of(&record("4"))).unwrap();

    let content = String::from_utf8(lock(&content).clone()).unwrap();
    let lines: Vec<_> = content.lines().collect();
    assert_eq!(lines.len(), 3);
    assert_eq!(ids([lines[0], lines[2]].join("\n").as_bytes()), ["1", "4"]);
}

#[test]
fn a_full_disk_does_not_end_the_log() {
    let content = Arc::default();
    let (log, metrics) = log_into(Disk { room: 0, content: Arc::clone(&content) }, 100);
    log.write(&record("lost"));
    while metrics.access_log_errors().get() == 0 {
        thread::yield_now();
    }
    log.write(&record("kept"));
    log.shutdown(PATIENCE).unwrap();
    assert_eq!(ids(&lock(&content)), ["kept"]);
    assert_eq!((metrics.access_log_errors().get(), metrics.access_log_dropped().get()), (1, 1));
}

#[test]
fn losses_are_reported_at_most_once_a_second_and_every_one() {
    let start = clock::now();
    let at = |millis| start + Duration::from_millis(millis);
    let losses = Losses::new(Metrics::new().access_log_dropped(), start);
    assert_eq!(losses.due(at(0)), None);
    losses.count(1);
    assert_eq!(losses.due(at(0)), Some(1));
    losses.count(2);
    assert_eq!(losses.due(at(999)), None);
    losses.count(3);
    assert_eq!(losses.due(at(1_000)), Some(5));
    assert_eq!(losses.due(at(5_000)), None);
    losses.count(1);
    assert_eq!(losses.rest(), 1);
}

/// A folder of this test's own, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sluice-access-log-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

#[test]
fn reopen_leaves_the_old_file_and_starts_a_new_one() {
    let folder = Folder::new("reopen");
    let (path, old) = (folder.0.join("access.log"), folder.0.join("access.log.1"));
    let config = checked::AccessLog { target: checked::AccessLogTarget::File(path.clone()), buffer: 100 };
    let log = AccessLog::start(&config, 1, &Metrics::new()).unwrap();

    log.write(&record("before"));
    while fs::metadata(&path).unwrap().len() == 0 {
        thread::yield_now();
    }
    fs::rename(&path, &old).unwrap();
    log.reopen();
    while !path.exists() {
        thread::yield_now();
    }
    log.write(&record("after"));
    log.shutdown(PATIENCE).unwrap();
    assert_eq!(ids(&fs::read(&old).unwrap()), ["before"]);
    assert_eq!(ids(&fs::read(&path).unwrap()), ["after"]);
}

#[test]
fn a_file_that_was_moved_away_is_noticed_by_its_inode() {
    let folder = Folder::new("inode");
    let (path, old) = (folder.0.join("access.log"), folder.0.join("access.log.1"));
    let start = clock::now();
    let mut output = Output::file(&path).unwrap();
    output.write(b"1\n").unwrap();
    output.follow_rename(start).unwrap();
    output.write(b"2\n").unwrap();

    fs::rename(&path, &old).unwrap();
    output.follow_rename(start + Duration::from_millis(500)).unwrap();
    output.write(b"3\n").unwrap();
    output.follow_rename(start + Duration::from_secs(1)).unwrap();
    output.write(b"4\n").unwrap();
    assert_eq!(fs::read(&old).unwrap(), b"1\n2\n3\n");

    fs::remove_file(&path).unwrap();
    fs::write(&path, b"someone else\n").unwrap();
    output.follow_rename(start + Duration::from_secs(9)).unwrap();
    output.write(b"5\n").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"someone else\n5\n");
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error_at_start() {
    let path = PathBuf::from("/nonexistent/folder/access.log");
    let config = checked::AccessLog { target: checked::AccessLogTarget::File(path), buffer: 100 };
    let error = AccessLog::start(&config, 1, &Metrics::new()).err().unwrap();
    assert!(error.to_string().contains("/nonexistent/folder/access.log"), "{error}");
}

#[test]
fn a_log_that_is_off_costs_nothing_and_shuts_down() {
    let config = checked::AccessLog { target: checked::AccessLogTarget::Off, buffer: 100 };
    let log = AccessLog::start(&config, 1, &Metrics::new()).unwrap();
    log.write(&record("r-1"));
    log.reopen();
    log.shutdown(Duration::ZERO).unwrap();
}
