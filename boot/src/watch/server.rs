//! The server behind `--watch`: on this computer alone, for pages that it has sent itself.
//!
//! A page on any other site can make a browser send requests to 127.0.0.1. So whatever does not name this server as its host, or
//! comes from another origin, is refused: with a host name that an attacker has pointed here, it names that.

use std::{
    io::{self, Read},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    thread::{self, JoinHandle},
};

use tiny_http::{Header, Method, Request, Response, Server as Http, StatusCode};

use super::{page::page, session::Shared};

/// How many requests are answered at once; each is answered at once.
const WORKERS: usize = 2;

/// The longest command.
const COMMAND_MAX: u64 = 64;

/// What a page says when it closes.
const LEAVE: &str = "leave";

type Answer = Response<io::Cursor<Vec<u8>>>;

/// A server that answers until it is dropped.
pub(super) struct Server {
    http: Arc<Http>,
    workers: Vec<JoinHandle<()>>,
}

/// A place to listen on: `port`, or any free one.
///
/// # Errors
/// The port is in use, or not allowed.
pub(super) fn listen(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

impl Server {
    /// Answers on `listener` from now on.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn start(listener: TcpListener, shared: &Arc<Shared>) -> io::Result<Self> {
        let address = listener.local_addr()?;
        let http = Arc::new(Http::from_listener(listener, None).map_err(io::Error::other)?);
        let work = |_| {
            let (http, shared) = (Arc::clone(&http), Arc::clone(shared));
            thread::spawn(move || {
                while let Ok(request) = http.recv() {
                    answer(request, address, &shared);
                }
            })
        };
        let workers = (0..WORKERS).map(work).collect();
        Ok(Self { http, workers })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for _ in &self.workers {
            self.http.unblock();
        }
        for worker in self.workers.drain(..) {
            // One that panicked has answered its last.
            let _ = worker.join();
        }
    }
}

fn answer(mut request: Request, address: SocketAddr, shared: &Shared) {
    let answer = if is_for_us(&request, address) {
        route(&mut request, shared)
    } else {
        text(403, "Quire's page is at http://127.0.0.1 or http://localhost, and answers no other site")
    };
    // A browser that was closed wants no answer.
    let _ = request.respond(answer);
}

/// Whether the request names this server as its host, and comes from a page of it or from none.
fn is_for_us(request: &Request, address: SocketAddr) -> bool {
    let names = [format!("127.0.0.1:{}", address.port()), format!("localhost:{}", address.port())];
    let is_ours = |value: &str| names.iter().any(|name| value.eq_ignore_ascii_case(name));
    let mut hosts = values(request, "Host");
    let host = hosts.next().is_some_and(is_ours) && hosts.next().is_none();
    let origin = values(request, "Origin").all(|origin| origin.strip_prefix("http://").is_some_and(is_ours));
    host && origin
}

fn values<'a>(request: &'a Request, name: &'static str) -> impl Iterator<Item = &'a str> {
    request.headers().iter().filter(move |header| header.field.equiv(name)).map(|header| header.value.as_str())
}

fn route(request: &mut Request, shared: &Shared) -> Answer {
    let url = request.url().to_owned();
    let (path, query) = url.split_once('?').unwrap_or((&url, ""));
    match (request.method(), path) {
        (Method::Get, "/") => Response::from_data(page())
            .with_header(header("Content-Type", "text/html; charset=utf-8"))
            .with_header(header("Content-Security-Policy", POLICY)),
        (Method::Get, "/messages") => messages(query, shared),
        (Method::Post, "/control") => control(request, shared),
        (_, "/" | "/messages" | "/control") => text(405, "not in this way"),
        _ => text(404, "there is one page here: /"),
    }
}

/// The page may use what is in it and ask where it comes from, and may not be shown within another.
const POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

fn messages(query: &str, shared: &Shared) -> Answer {
    let from = query.strip_prefix("since=").and_then(|number| number.parse().ok());
    let (answer, machine) = shared.since(from);
    Response::from_data(answer.body)
        .with_header(header("Content-Type", "application/octet-stream"))
        .with_header(header("Cache-Control", "no-store"))
        .with_header(header("X-Next", &answer.next.to_string()))
        .with_header(header("X-Anew", if answer.anew { "yes" } else { "no" }))
        .with_header(header("X-Machine", machine))
}

fn control(request: &mut Request, shared: &Shared) -> Answer {
    // A browser always says from where a command comes; what says nothing is no page of ours.
    if values(request, "Origin").next().is_none() {
        return text(403, "commands come from Quire's page alone");
    }
    let mut words = String::new();
    if request.as_reader().take(COMMAND_MAX).read_to_string(&mut words).is_err() {
        return text(400, "a command is text");
    }
    if words == LEAVE {
        shared.leave();
        return text(200, "done");
    }
    match words.trim().parse().and_then(|command| shared.command(command)) {
        Ok(()) => text(200, "done"),
        Err(refused) => text(400, &refused),
    }
}

fn text(status: u16, words: &str) -> Answer {
    Response::from_string(words).with_status_code(StatusCode(status))
}

fn header(name: &'static str, value: &str) -> Header {
    // Names and values here are short and plain.
    Header::from_bytes(name, value).unwrap_or_else(|()| unreachable!("{name}: {value}"))
}
