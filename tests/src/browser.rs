//! A browser without a window: Chromium by its driver, with the few commands of `WebDriver` (W3C) that tests need.

use std::{
    env,
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Against something that never comes: the machine may be slow.
const PATIENCE: Duration = Duration::from_mins(10);

/// What `./setup --with-browser` installs.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
const DRIVER: &str = "chromedriver";

/// A browser with one page.
pub struct Browser {
    driver: Child,
    address: String,
    session: String,
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser of 1280 by 720, or says why there is none.
    ///
    /// # Errors
    /// What is missing, or does not start on this machine.
    pub fn start() -> Result<Self, String> {
        let hint = "./setup --with-browser installs it";
        let browser = BROWSERS.into_iter().find_map(find).ok_or(format!("there is no Chromium: {hint}"))?;
        let driver = find(DRIVER).ok_or(format!("there is no {DRIVER}: {hint}"))?;
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{DRIVER} does not start: {error}"))?;
        let port = port_of(&mut driver).ok_or(format!("{DRIVER} does not listen"))?;
        let profile = tempfile::tempdir().map_err(|error| format!("no directory for the browser: {error}"))?;
        let arguments = json!([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--hide-scrollbars",
            "--window-size=1280,720",
            format!("--user-data-dir={}", profile.path().display()),
        ]);
        let mut started =
            Self { driver, address: format!("127.0.0.1:{port}"), session: String::new(), _profile: profile };
        let wanted = json!({
            "goog:chromeOptions": { "binary": browser, "args": arguments },
            "timeouts": { "script": PATIENCE.as_millis() as u64, "pageLoad": PATIENCE.as_millis() as u64 },
        });
        let wanted = json!({ "capabilities": { "alwaysMatch": wanted } });
        let answer = request(&started.address, "POST", "/session", &wanted).map_err(|error| error.to_string())?;
        let session = answer["value"]["sessionId"].as_str();
        let session = session.ok_or_else(|| format!("the browser does not start: {}", answer["value"]["message"]))?;
        started.session = format!("/session/{session}");
        Ok(started)
    }

    /// Opens an address.
    pub fn open(&self, url: &str) {
        self.command("/url", &json!({ "url": url }));
    }

    /// What a script, the body of a function, returns in the page.
    pub fn run(&self, script: &str) -> Value {
        self.command("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until an expression is true in the page, which looks itself.
    ///
    /// # Panics
    /// It never is.
    #[track_caller]
    pub fn wait_for(&self, expression: &str) {
        let limit = PATIENCE.as_millis() / 2;
        let is_true = self.run(&format!(
            "const end = performance.now() + {limit};
             return new Promise((done, failed) => {{
               const look = () => {{
                 try {{
                   if ({expression}) done(true);
                   else if (performance.now() > end) done(false);
                   else setTimeout(look, 40);
                 }} catch (error) {{ failed(error); }}
               }};
               look();
             }});"
        ));
        assert_eq!(is_true, Value::Bool(true), "never true in the page: {expression}");
    }

    /// Presses a key.
    pub fn press(&self, key: &str) {
        let actions = [json!({ "type": "keyDown", "value": key }), json!({ "type": "keyUp", "value": key })];
        self.command("/actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }));
    }

    /// From now on nothing can be loaded over a network.
    pub fn go_offline(&self) {
        let conditions = json!({ "offline": true, "latency": 0, "throughput": 0 });
        self.command("/chromium/network_conditions", &json!({ "network_conditions": conditions }));
    }

    fn command(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &format!("{}{path}", self.session), body)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let answer = request(&self.address, method, path, body).unwrap_or_else(|error| panic!("{path}: {error}"));
        let value = &answer["value"];
        assert!(value.get("error").is_none(), "{path}: {}: {}", value["error"], value["message"]);
        value.clone()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser ends with its session; what does not end is ended with its driver.
        let _ = request(&self.address, "DELETE", &self.session, &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

fn find(name: &str) -> Option<PathBuf> {
    let search_path = env::var_os("PATH")?;
    env::split_paths(&search_path).map(|directory| directory.join(name)).find(|path: &PathBuf| Path::is_file(path))
}

fn port_of(driver: &mut Child) -> Option<u16> {
    let lines = BufReader::new(driver.stdout.take()?).lines();
    let line = lines.map_while(Result::ok).find(|line| line.contains("started successfully on port"))?;
    line.rsplit(' ').next()?.trim_end_matches('.').parse().ok()
}

/// One request of HTTP/1.1 with a body of JSON.
fn request(address: &str, method: &str, path: &str, body: &Value) -> io::Result<Value> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let body = if body.is_null() { String::new() } else { body.to_string() };
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line)? > 2 {
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().map_err(io::Error::other)?;
        }
        line.clear();
    }
    let mut answer = vec![0; length];
    reader.read_exact(&mut answer)?;
    serde_json::from_slice(&answer).map_err(io::Error::other)
}
