//! Over a real socket, with a client that shows every byte.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::controls::Controls;
use super::{Document, example, percent, respond, serve, validate};
use crate::base::{clock, tasks};

struct Sandbox {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
    /// Sizes of chunks; empty without chunked coding.
    chunks: Vec<usize>,
    /// The body ended where its framing said.
    whole: bool,
}

impl Sandbox {
    async fn start() -> Self {
        Self::with(Document::embedded().unwrap()).await
    }

    async fn with(document: Document) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let task = tasks::spawn("sandbox", async move {
            serve(listener, Arc::new(document), async { stopped.await.unwrap_or(()) }).await.unwrap();
        });
        Self { address, stop: Some(stop), task }
    }

    async fn send(&self, method: &str, target: &str, fields: &str, body: &[u8]) -> Reply {
        let mut connection = TcpStream::connect(self.address).await.unwrap();
        let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
        let head = format!("{method} {target} HTTP/1.1\r\nHost: sandbox\r\nConnection: close\r\n{length}{fields}\r\n");
        connection.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
        let mut bytes = Vec::new();
        // A reset after a refused body is as good as an end here.
        let _ = connection.read_to_end(&mut bytes).await;
        Reply::read(&bytes)
    }

    async fn get(&self, target: &str) -> Reply {
        self.send("GET", target, "", b"").await
    }

    async fn post(&self, target: &str, body: &Value) -> Reply {
        self.send("POST", target, "Content-Type: application/json\r\n", body.to_string().as_bytes()).await
    }
}

impl Reply {
    fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head");
        let (head, rest) = bytes.split_at(end + 4);
        let head = String::from_utf8(head.to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut reply = Self { status, head, body: Vec::new(), chunks: Vec::new(), whole: true };
        if reply.field("transfer-encoding").is_some() {
            reply.whole = reply.read_chunks(rest).is_some();
        } else {
            let length = reply.field("content-length").map_or(0, |text| text.parse().unwrap());
            reply.whole = rest.len() == length;
            reply.body = rest.to_vec();
        }
        reply
    }

    fn read_chunks(&mut self, mut rest: &[u8]) -> Option<()> {
        loop {
            let end = rest.windows(2).position(|two| two == b"\r\n")?;
            let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
            if size == 0 {
                return Some(());
            }
            self.body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
            self.chunks.push(size);
            rest = rest.get(end + size + 4..)?;
        }
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (own, value) = line.split_once(':')?;
            own.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("{}{:?}", self.head, self.body))
    }

    /// The target of a relation of `Link`, on a path.
    fn link(&self, path: &str, relation: &str) -> Option<String> {
        let link = self.field("link")?.split(", ").find(|link| link.ends_with(&format!("rel=\"{relation}\"")))?;
        Some(format!("{path}{}", link.trim_start_matches('<').split('>').next()?))
    }
}

#[tokio::test]
async fn the_same_request_has_the_same_answer() {
    let (one, other) = (Sandbox::start().await, Sandbox::start().await);
    for target in ["/api/orders", "/api/orders/42", "/api/inventory?limit=3", "/api/users/7", "/v1/integrations"] {
        let (a, b) = (one.get(target).await, other.get(target).await);
        assert_eq!(a.status, 200, "{target}");
        assert_eq!(a.field("content-type"), Some("application/json"));
        assert_eq!(a.body, b.body, "{target}");
    }
}

#[tokio::test]
async fn answers_fit_the_schemas_they_are_made_from() {
    let document = Document::embedded().unwrap();
    for path in document.paths() {
        for operation in &path.operations {
            for response in &operation.responses {
                let Some(schema) = response.content.as_ref().and_then(|content| content.schema) else { continue };
                for seed in 0..50 {
                    let value = example::Generator::new(document.schemas(), seed).value(schema);
                    let wrong = validate::body(document.schemas(), schema, &value);
                    assert!(wrong.is_empty(), "{} {}: {wrong:?} in {value}", operation.method, path.template);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_list_is_walked_by_its_links_without_loss_or_repetition() {
    let sandbox = Sandbox::start().await;
    let mut target = "/api/orders?limit=50".to_owned();
    let mut ids = Vec::new();
    let mut pages = 0;
    loop {
        let reply = sandbox.get(&target).await;
        let page = reply.json();
        assert_eq!(page["page"]["total"], 137);
        assert_eq!(page["page"]["limit"], 50);
        ids.extend(page["items"].as_array().unwrap().iter().map(|item| item["id"].to_string()));
        pages += 1;
        match reply.link("/api/orders", "next") {
            Some(next) => {
                assert!(next.contains(page["page"]["next_cursor"].as_str().unwrap()));
                target = next;
            }
            None => {
                assert_eq!(page["page"]["next_cursor"], Value::Null);
                break;
            }
        }
    }
    assert_eq!((pages, ids.len()), (3, 137));
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 137);
}

#[tokio::test]
async fn an_entry_of_a_list_is_the_same_when_read_alone() {
    let sandbox = Sandbox::start().await;
    let list = sandbox.get("/api/orders?limit=3").await.json();
    let entry = &list["items"][2];
    let id = entry["id"].as_str().unwrap();
    assert!(id.starts_with("ord_"), "{id}");
    assert_eq!(sandbox.get(&format!("/api/orders/{id}")).await.json(), *entry);
    assert_eq!(sandbox.get("/api/orders/a%20b").await.json()["id"], "a b");
}

#[tokio::test]
async fn pages_by_number_and_back() {
    let sandbox = Sandbox::start().await;
    let first = sandbox.get("/api/analytics/reports?limit=10").await;
    assert_ne!(first.json()["items"][0]["id"], first.json()["items"][1]["id"]);
    assert_eq!(first.link("", "prev"), None);
    let second = sandbox.get(&first.link("/api/analytics/reports", "next").unwrap()).await;
    assert_eq!(second.link("", "prev").as_deref(), Some("?limit=10&page=1"));
    let last = sandbox.get("/api/analytics/reports?limit=10&page=3").await;
    assert_eq!(last.json()["items"].as_array().unwrap().len(), 4);
    assert_eq!(last.link("", "next"), None);
    let beyond = sandbox.get("/api/analytics/reports?page=18446744073709551615").await;
    assert_eq!((beyond.status, beyond.json()["items"].clone()), (400, Value::Null));
    let beyond = sandbox.get("/api/analytics/reports?page=9223372036854775807").await;
    assert_eq!((beyond.status, beyond.json()["items"].clone()), (200, json!([])));
}

#[tokio::test]
async fn a_list_is_filtered_by_members() {
    let sandbox = Sandbox::start().await;
    let list = sandbox.get("/api/orders?status=shipped&limit=100").await.json();
    let items = list["items"].as_array().unwrap();
    assert!(!items.is_empty() && items.iter().all(|item| item["status"] == "shipped"));
    assert_eq!(list["page"]["total"], items.len());
}

#[tokio::test]
async fn wrong_parameters_are_named() {
    let sandbox = Sandbox::start().await;
    for (target, pointer) in [
        ("/api/orders?limit=0", "limit"),
        ("/api/orders?limit=many", "limit"),
        ("/api/orders?status=lost", "status"),
        ("/api/analytics/reports?page=0", "page"),
    ] {
        let reply = sandbox.get(target).await;
        assert_eq!(reply.status, 400, "{target}");
        assert_eq!(reply.field("content-type"), Some("application/problem+json"));
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer);
    }
    for target in ["/api/orders?cursor=14", "/api/orders?cursor=14-0000", "/api/orders/%zz"] {
        assert_eq!(sandbox.get(target).await.status, 400, "{target}");
    }
    let cursor = sandbox.get("/api/orders").await.json()["page"]["next_cursor"].clone();
    let elsewhere = sandbox.get(&format!("/api/inventory?cursor={}", cursor.as_str().unwrap())).await;
    assert_eq!(elsewhere.status, 400, "a cursor belongs to its list");
}

#[tokio::test]
async fn what_was_sent_comes_back_in_what_was_made() {
    let sandbox = Sandbox::start().await;
    let order = json!({
        "id": "mine", "customer_id": "cus_1", "currency": "CHF", "client_secret": "x",
        "lines": [{ "sku": "A", "quantity": 2, "unit_price": 500 }],
    });
    let reply = sandbox.post("/api/orders", &order).await;
    let made = reply.json();
    assert_eq!(reply.status, 201);
    assert_eq!((&made["lines"], &made["currency"]), (&order["lines"], &order["currency"]));
    assert_ne!(made["id"], "mine", "read-only members are not taken");
    assert_eq!(made.get("client_secret"), None);
    assert_eq!(reply.field("location"), Some(&*format!("/api/orders/{}", made["id"].as_str().unwrap())));
    let (json, text) = ("Content-Type: application/json\r\n", order.to_string());
    let replaced = sandbox.send("PUT", "/api/orders/ord_1", json, text.as_bytes()).await;
    assert_eq!((replaced.status, &replaced.json()["id"]), (200, &json!("ord_1")));
    let deleted = sandbox.send("DELETE", "/api/orders/ord_1", "", b"").await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    let wish = json!({ "redirect_uri": "https://x", "scopes": ["a"] });
    let begun = sandbox.post("/v1/integrations/int_7/authorize", &wish).await;
    assert_eq!((begun.status, &begun.json()["integration_id"]), (201, &json!("int_7")));
    assert!(begun.json()["id"].as_str().unwrap().starts_with("aut_"));
}

#[tokio::test]
async fn bodies_are_checked() {
    let sandbox = Sandbox::start().await;
    let reply = sandbox.post("/api/orders", &json!({ "currency": "XXX", "lines": [{ "quantity": 1.5 }] })).await;
    assert_eq!(reply.status, 400);
    let errors =
        reply.json()["errors"].as_array().unwrap().iter().map(|error| error["pointer"].to_string()).collect::<Vec<_>>();
    let expected = ["/customer_id", "/currency", "/lines/0/sku", "/lines/0/unit_price", "/lines/0/quantity"]
        .map(|text| format!("\"{text}\""));
    assert_eq!(errors, expected);
    let json = "Content-Type: application/json\r\n";
    assert_eq!(sandbox.send("POST", "/api/orders", json, b"{\"a\":").await.status, 400);
    assert_eq!(sandbox.send("POST", "/api/orders", json, b"").await.status, 400);
    assert_eq!(sandbox.send("POST", "/api/orders", "Content-Type: text/plain\r\n", b"{}").await.status, 415);
    let large = vec![b' '; (1 << 20) + 1];
    assert_eq!(sandbox.send("POST", "/api/orders", json, &large).await.status, 413);
}

#[tokio::test]
async fn other_paths_and_methods() {
    let sandbox = Sandbox::start().await;
    let reply = sandbox.get("/api/nothing").await;
    assert_eq!((reply.status, &reply.json()["status"]), (404, &json!(404)));
    assert_eq!(sandbox.get("/api/orders/").await.status, 404);
    let reply = sandbox.send("PATCH", "/api/orders/1", "", b"").await;
    assert_eq!((reply.status, reply.field("allow")), (405, Some("GET, PUT, DELETE, HEAD, OPTIONS")));
    let reply = sandbox.send("OPTIONS", "/api/payments/webhook", "", b"").await;
    assert_eq!((reply.status, reply.field("allow")), (204, Some("POST, OPTIONS")));
    let (get, head) = (sandbox.get("/api/orders/1").await, sandbox.send("HEAD", "/api/orders/1", "", b"").await);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.field("content-length"), get.field("content-length"));
}

#[tokio::test]
async fn an_answer_fails_as_asked() {
    let sandbox = Sandbox::start().await;
    let reply = sandbox.send("GET", "/api/orders", "X-Sandbox-Status: 429\r\n", b"").await;
    assert_eq!((reply.status, &reply.json()["status"]), (429, &json!(429)));
    assert_eq!(reply.json()["title"], "Too Many Requests");
    assert!(reply.field("retry-after").unwrap().parse::<u32>().is_ok());
    assert_eq!(sandbox.get("/api/orders?sandbox_status=503").await.status, 503);
    assert_eq!(sandbox.get("/nowhere?sandbox_status=418").await.json()["status"], 418);
    assert_eq!(sandbox.get("/api/orders/1?sandbox_status=304").await.body.len(), 0);
    for query in ["status=99", "status=600", "delay=5", "delay=1h", "abort=2", "size=2GiB", "trickle=-1s"] {
        assert_eq!(sandbox.get(&format!("/api/orders?sandbox_{query}")).await.status, 400, "{query}");
    }
}

#[tokio::test]
async fn an_answer_is_late_or_trickles_as_asked() {
    let sandbox = Sandbox::start().await;
    let started = clock::now();
    let reply = sandbox.send("GET", "/api/orders/1", "X-Sandbox-Delay: 30ms\r\n", b"").await;
    assert!(reply.status == 200 && started.elapsed() >= Duration::from_millis(30));
    let started = clock::now();
    let slow = sandbox.get("/api/orders/1?sandbox_trickle=2ms").await;
    assert!(started.elapsed() >= Duration::from_millis(2 * (slow.chunks.len() as u64 - 1)));
    assert!((9..=10).contains(&slow.chunks.len()), "{:?}", slow.chunks);
    assert_eq!(slow.body, reply.body);
}

#[tokio::test]
async fn an_answer_breaks_off_as_asked() {
    let sandbox = Sandbox::start().await;
    let whole = sandbox.get("/api/orders/1").await;
    let broken = sandbox.send("GET", "/api/orders/1", "X-Sandbox-Abort: 1\r\n", b"").await;
    assert!(whole.whole && !broken.whole);
    assert_eq!((broken.status, broken.field("content-length")), (200, whole.field("content-length")));
    assert_eq!(broken.body, whole.body[..whole.body.len() / 2]);
    let large = sandbox.get("/api/orders?sandbox_abort=1&sandbox_size=1MiB&sandbox_trickle=1us").await;
    assert_eq!((large.body.len(), large.whole), (512 << 10, false));
    assert_eq!(sandbox.send("DELETE", "/api/orders/1", "X-Sandbox-Abort: 1\r\n", b"").await.status, 400);
}

#[tokio::test]
async fn an_answer_is_as_large_as_asked() {
    let sandbox = Sandbox::start().await;
    let reply = sandbox.send("GET", "/api/orders", "X-Sandbox-Size: 200001B\r\n", b"").await;
    assert_eq!((reply.status, reply.body.len(), reply.whole), (200, 200_001, true));
    assert_eq!(reply.body[..4], *b"000.");
    assert_eq!(reply.body[64..68], *b"001.");
    assert_eq!(sandbox.get("/api/orders?sandbox_size=0B").await.body.len(), 0);
    let failed = sandbox.get("/api/nothing?sandbox_size=1KiB").await;
    assert_eq!(failed.status, 404, "a refusal stays readable");
}

#[tokio::test]
async fn echo_shows_what_arrived() {
    let sandbox = Sandbox::start().await;
    let reply = sandbox.send("PROPFIND", "/sandbox/echo?a=1", "X-Two: 1\r\nX-Two: 2\r\n", &vec![b'x'; 2 << 20]).await;
    let seen = reply.json();
    assert_eq!(reply.status, 200);
    assert_eq!((&seen["method"], &seen["target"]), (&json!("PROPFIND"), &json!("/sandbox/echo?a=1")));
    assert_eq!((&seen["headers"]["x-two"], &seen["body_length"]), (&json!(["1", "2"]), &json!(2 << 20)));
    assert_eq!(sandbox.get("/sandbox/echo?sandbox_status=500").await.status, 500);
    assert_eq!(sandbox.get("/sandbox/echo/a%2Fb").await.json()["target"], "/sandbox/echo/a%2Fb");
    assert_eq!(sandbox.get("/sandbox/echoes").await.status, 404);
    assert_eq!(sandbox.get("/sandbox").await.json()["operations"].as_array().unwrap().len(), 11);
    assert_eq!(sandbox.get("/sandbox/openapi.json").await.json()["info"]["title"], "Partner API");
}

#[tokio::test]
async fn another_document_is_another_sandbox() {
    let text = "
openapi: 3.0.3
info: {title: Pets, version: '2'}
servers: [{url: https://pets.example.com/v2}]
paths:
  /pets:
    get:
      parameters:
        - {in: query, name: offset, schema: {type: integer, minimum: 0}}
      responses:
        200: {description: ok, content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Pet'}}}}}
  /pets/{petId}:
    get:
      parameters: [{in: path, name: petId, required: true, schema: {type: integer}}]
      responses:
        200: {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Pet'}}}}
  /pets/{petId}/note:
    get:
      responses:
        default: {description: ok, content: {text/plain: {example: A good pet.}}}
components:
  schemas:
    Pet:
      type: object
      required: [petId, food]
      properties:
        petId: {type: integer, minimum: 100}
        food:
          oneOf: [{type: object, required: [meat], properties: {meat: {type: boolean}}}, {type: string, enum: [grass]}]
        friend: {$ref: '#/components/schemas/Pet'}
";
    let sandbox = Sandbox::with(Document::parse("pets.yaml", text).unwrap()).await;
    let list = sandbox.get("/v2/pets?offset=40").await;
    let pets = list.json();
    assert_eq!(pets.as_array().unwrap().iter().map(|pet| pet["petId"].clone()).collect::<Vec<_>>(), [140, 141]);
    assert_eq!(list.link("", "prev").as_deref(), Some("?offset=20"));
    assert_eq!(sandbox.get("/v2/pets/141").await.json(), pets[1]);
    assert_eq!(sandbox.get("/v2/pets/cat").await.status, 400);
    assert_eq!(sandbox.get("/v2/pets/141/note").await.body, b"A good pet.");
    assert_eq!(sandbox.get("/api/orders").await.status, 404);
}

#[tokio::test]
async fn stops_when_told_and_ends_what_is_in_flight() {
    let mut sandbox = Sandbox::start().await;
    let mut connection = TcpStream::connect(sandbox.address).await.unwrap();
    connection.write_all(b"GET /api/orders/1?sandbox_trickle=5ms HTTP/1.1\r\nHost: sandbox\r\n\r\n").await.unwrap();
    let mut bytes = vec![0; 16];
    connection.read_exact(&mut bytes).await.unwrap();
    sandbox.stop.take().unwrap().send(()).unwrap();
    connection.read_to_end(&mut bytes).await.unwrap();
    assert!(Reply::read(&bytes).whole);
    (&mut sandbox.task).await.unwrap();
}

proptest::proptest! {
    /// Whatever is asked for, there is an answer with a status of the right kind, and the same one again.
    #[test]
    fn every_request_is_answered(
        path in "/(api|v1|[a-z%/]{0,5})/(orders|inventory|integrations|[^ ]{0,6})(/[^ ]{0,8}){0,2}",
        query in "((limit|page|cursor|status|sandbox_size|sandbox_delay)=[a-z0-9%.&=-]{0,8}&?){0,3}",
        method in "GET|POST|PUT|DELETE|HEAD|OPTIONS|PATCH|ODD",
        body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40),
    ) {
        static DOCUMENT: std::sync::LazyLock<Document> = std::sync::LazyLock::new(|| Document::embedded().unwrap());
        let parameters = percent::query(&query);
        let headers = http::HeaderMap::from_iter([(http::header::CONTENT_TYPE, "application/json".parse().unwrap())]);
        let _ = Controls::read(&headers, &parameters);
        let (method, body) = (method.parse().unwrap(), body.into());
        let answer = || respond::answer(&DOCUMENT, respond::Request {
            method: &method, path: &path, query: &query, parameters: &parameters, headers: &headers, body: &body, item: None,
        }, None);
        let (one, other) = (answer(), answer());
        assert!(one.status.is_success() || one.status.is_client_error(), "{one:?}");
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }
}
