//! A person in a real browser: headless Chromium, controlled over a pipe with the DevTools protocol. It only clicks,
//! types and follows links like a person; no script changes a page.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::client::PATIENCE;

pub struct Chromium {
    process: Child,
    commands: ChildStdin,
    messages: Receiver<Value>,
    /// Events that no one has waited for yet.
    events: VecDeque<Value>,
    sent: u64,
    /// The tab, once it exists.
    session: Option<String>,
    /// What a person pressed with the mouse, apart from fields.
    pub clicks: u32,
    /// Errors that the browser reported about pages: scripts, policies, files that are missing.
    errors: Vec<String>,
    /// The requests of the pages.
    requests: Vec<String>,
    _profile: TempDir,
}

/// The color scheme of pages: light or dark.
#[derive(Debug, Clone, Copy)]
pub enum Scheme {
    Light,
    Dark,
}

impl Chromium {
    /// Starts a fresh profile with a language. Returns `None` without Chromium: the test is then skipped with a
    /// message, but fails in CI.
    pub fn start(language: &str) -> Option<Self> {
        let Some(program) = installed() else {
            assert!(!is_ci(), "there is no chromium here: apt-get install chromium");
            eprintln!("skipped: there is no chromium here");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        // Chromium reads commands on descriptor 3 and writes responses to 4. The shell connects our pipes.
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$@\" 3<&0 4>&1 >/dev/null", "sh"]).arg(program).args([
            "--headless",
            "--remote-debugging-pipe",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--no-proxy-server",
            // Keeps frames of other origins in the tab's process, where the test can inspect them.
            "--disable-site-isolation-trials",
        ]);
        command.arg(format!("--user-data-dir={}", profile.path().display())).arg(format!("--accept-lang={language}"));
        if fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
            // Chromium's sandbox does not work for root.
            command.arg("--no-sandbox");
        }
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().unwrap();
        let commands = process.stdin.take().unwrap();
        let mut answers = BufReader::new(process.stdout.take().unwrap());
        let (told, messages) = channel();
        thread::spawn(move || {
            let mut message = Vec::new();
            while answers.read_until(0, &mut message).is_ok_and(|length| length > 0) {
                let text = message.strip_suffix(&[0]).unwrap_or(&message);
                let Ok(value) = serde_json::from_slice(text) else { return };
                if told.send(value).is_err() {
                    return;
                }
                message.clear();
            }
        });
        let events = VecDeque::new();
        let mut chromium = Self {
            process,
            commands,
            messages,
            events,
            sent: 0,
            session: None,
            clicks: 0,
            errors: Vec::new(),
            requests: Vec::new(),
            _profile: profile,
        };
        let tab = chromium.tell("Target.createTarget", json!({"url": "about:blank"}));
        let tab = json!({"targetId": tab["targetId"], "flatten": true});
        let attached = chromium.tell("Target.attachToTarget", tab);
        chromium.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Page", "Log", "Runtime", "Network"] {
            chromium.tell(&format!("{domain}.enable"), json!({}));
        }
        Some(chromium)
    }

    /// Opens an address and waits for the page.
    pub fn go(&mut self, url: &str) {
        self.led(|it| _ = it.tell("Page.navigate", json!({"url": url})));
    }

    /// Clicks an element and waits for the next page.
    pub fn click(&mut self, selector: &str) {
        self.clicks += 1;
        self.led(|it| it.press_mouse(selector, 1));
    }

    /// Like [`Chromium::click`], with a double click.
    pub fn double_click(&mut self, selector: &str) {
        self.led(|it| it.press_mouse(selector, 2));
    }

    /// Clicks an element that opens no other page.
    pub fn press(&mut self, selector: &str) {
        self.clicks += 1;
        self.press_mouse(selector, 1);
    }

    /// Switches the scripts of pages off.
    pub fn without_scripts(&mut self) {
        self.tell("Emulation.setScriptExecutionDisabled", json!({"value": true}));
    }

    /// Moves the focus with the Tab key until it is on such an element.
    #[track_caller]
    pub fn tab_to(&mut self, selector: &str) {
        for _ in 0..400 {
            if self.look(&format!("document.activeElement.matches({selector:?})")) == true {
                return;
            }
            self.tab();
        }
        panic!("the Tab key does not reach {selector} on {}", self.url());
    }

    /// Reaches a field with the Tab key and replaces its content.
    pub fn fill_by_keys(&mut self, selector: &str, text: &str) {
        self.tab_to(selector);
        let all =
            json!({"key": "a", "code": "KeyA", "windowsVirtualKeyCode": 65, "modifiers": 2, "commands": ["selectAll"]});
        self.press_key(all);
        self.type_text(text);
    }

    fn select_all(&mut self) {
        let key =
            json!({"key": "a", "code": "KeyA", "windowsVirtualKeyCode": 65, "modifiers": 2, "commands": ["selectAll"]});
        self.press_key(key);
    }

    /// Presses a key that writes a character, or one with a name.
    pub fn key(&mut self, key: &str) {
        let code = match key {
            "Escape" => 27,
            "ArrowDown" => 40,
            _ => u32::from(key.to_ascii_uppercase().as_bytes()[0]),
        };
        let mut event = json!({"key": key, "windowsVirtualKeyCode": code});
        if key.len() == 1 {
            event["text"] = json!(key);
        }
        self.press_key(event);
    }

    /// Presses Enter where it opens no other page.
    pub fn key_enter(&mut self) {
        self.press_key(json!({"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}));
    }

    /// Presses keys of which the last opens another page.
    pub fn keys_to_page(&mut self, keys: &[&str]) {
        self.led(|it| keys.iter().for_each(|key| it.key(key)));
    }

    /// Presses Ctrl and Enter and waits for the next page.
    pub fn save_by_keys(&mut self) {
        let enter = json!({"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "modifiers": 2});
        self.led(|it| it.press_key(enter));
    }

    /// Goes back in the history.
    pub fn back(&mut self) {
        let history = self.tell("Page.getNavigationHistory", json!({}));
        let at = usize::try_from(history["currentIndex"].as_u64().unwrap()).unwrap();
        let entry = history["entries"][at - 1]["id"].clone();
        self.tell("Page.navigateToHistoryEntry", json!({"entryId": entry}));
        let wanted = history["entries"][at - 1]["url"].clone();
        while json!(self.url()) != wanted || self.look("document.readyState") != "complete" {}
    }

    /// The errors that the browser reported since the last question. A form that is shown again with its problems has
    /// the status 422 or 409, which browsers report as well: that is none.
    pub fn errors(&mut self) -> Vec<String> {
        self.look("1");
        let errors = std::mem::take(&mut self.errors);
        errors
            .into_iter()
            .filter(|error| !error.contains("status of 422") && !error.contains("status of 409"))
            .collect()
    }

    /// The addresses that pages requested since the last question.
    pub fn requests(&mut self) -> Vec<String> {
        self.look("1");
        std::mem::take(&mut self.requests)
    }

    /// Waits until an expression on the page is true.
    #[track_caller]
    pub fn wait_until(&mut self, expression: &str) {
        let begun = std::time::Instant::now();
        while self.look(expression) != true {
            assert!(begun.elapsed() < PATIENCE, "{expression} on {}", self.url());
        }
    }

    /// Clicks a field and replaces its content.
    pub fn fill(&mut self, selector: &str, text: &str) {
        self.press_mouse(selector, 1);
        self.select_all();
        self.type_text(text);
    }

    /// Types into the focused element.
    pub fn type_text(&mut self, text: &str) {
        self.tell("Input.insertText", json!({"text": text}));
    }

    /// Chooses a file for a field.
    pub fn choose_file(&mut self, selector: &str, file: &Path) {
        let root = self.tell("DOM.getDocument", json!({}))["root"]["nodeId"].clone();
        let field = self.tell("DOM.querySelector", json!({"nodeId": root, "selector": selector}))["nodeId"].clone();
        self.tell("DOM.setFileInputFiles", json!({"nodeId": field, "files": [file]}));
    }

    pub fn tab(&mut self) {
        self.press_key(json!({"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}));
    }

    /// Presses Enter and waits for the next page.
    pub fn enter(&mut self) {
        let enter = json!({"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13, "text": "\r"});
        self.led(|it| it.press_key(enter));
    }

    /// The visible text of the page.
    pub fn text(&mut self) -> String {
        self.look("document.body.innerText").as_str().unwrap().to_owned()
    }

    pub fn url(&mut self) -> String {
        self.look("location.href").as_str().unwrap().to_owned()
    }

    /// The id or the text of the focused element.
    pub fn focused(&mut self) -> String {
        let focused = self.look("document.activeElement.id || document.activeElement.innerText");
        focused.as_str().unwrap().to_owned()
    }

    /// Evaluates an expression on the page.
    #[track_caller]
    pub fn look(&mut self, expression: &str) -> Value {
        let answer = self.tell("Runtime.evaluate", json!({"expression": expression, "returnByValue": true}));
        assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// Evaluates an expression that is a promise.
    #[track_caller]
    pub fn look_later(&mut self, expression: &str) -> Value {
        let how = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.tell("Runtime.evaluate", how);
        assert!(answer.get("exceptionDetails").is_none(), "{answer}");
        answer["result"]["value"].clone()
    }

    /// The addresses of the frames that loaded.
    pub fn frames(&mut self) -> Vec<String> {
        let tree = self.tell("Page.getFrameTree", json!({}));
        let frames = tree["frameTree"]["childFrames"].as_array().into_iter().flatten();
        frames.map(|frame| frame["frame"]["url"].as_str().unwrap().to_owned()).collect()
    }

    /// Sets the screen width and the color scheme.
    pub fn show(&mut self, width: u32, scheme: Scheme) {
        let screen = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false});
        self.tell("Emulation.setDeviceMetricsOverride", screen);
        let value = match scheme {
            Scheme::Light => "light",
            Scheme::Dark => "dark",
        };
        let scheme = json!({"features": [{"name": "prefers-color-scheme", "value": value}]});
        self.tell("Emulation.setEmulatedMedia", scheme);
    }

    /// Saves a screenshot of the window in `target/screenshots/`, for people.
    pub fn photograph(&mut self, name: &str) {
        self.save_picture(name, json!({"format": "png"}));
    }

    /// Saves a small screenshot of the window.
    pub fn photograph_small(&mut self, name: &str) {
        let clip = json!({"x": 0, "y": 0, "width": 1280, "height": 720, "scale": 0.7});
        self.save_picture(name, json!({"format": "png", "clip": clip}));
    }

    /// Saves a screenshot of the whole page.
    pub fn photograph_page(&mut self, name: &str) {
        let size = self.look("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]");
        let height = size[1].as_f64().unwrap().min(3_000.0);
        let clip = json!({"x": 0, "y": 0, "width": size[0], "height": height, "scale": 1});
        self.save_picture(name, json!({"format": "png", "captureBeyondViewport": true, "clip": clip}));
    }

    fn save_picture(&mut self, name: &str, how: Value) {
        let picture = self.tell("Page.captureScreenshot", how);
        let bytes = STANDARD.decode(picture["data"].as_str().unwrap()).unwrap();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        let path = folder.join(format!("{name}.png"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn press_mouse(&mut self, selector: &str, times: u32) {
        let place = self.look(&format!(
            "(() => {{ const found = [...document.querySelectorAll({selector:?})].find(it => it.checkVisibility()); if (!found) return null; found.scrollIntoView({{block: 'center'}});
                const box = found.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        ));
        assert!(!place.is_null(), "there is no {selector} on {}: {}", self.url(), self.text());
        for count in 1..=times {
            for kind in ["mousePressed", "mouseReleased"] {
                let event = json!({"type": kind, "x": place[0], "y": place[1], "button": "left", "clickCount": count});
                self.tell("Input.dispatchMouseEvent", event);
            }
        }
    }

    fn press_key(&mut self, key: Value) {
        for kind in ["keyDown", "keyUp"] {
            let mut event = key.clone();
            event["type"] = json!(kind);
            self.tell("Input.dispatchKeyEvent", event);
        }
    }

    /// Does something that opens another page, and waits for that page.
    fn led(&mut self, act: impl FnOnce(&mut Self)) {
        self.events.clear();
        act(self);
        while !self.events.drain(..).any(|event| event["method"] == "Page.loadEventFired") {
            let message = self.next_message("another page");
            self.events.push_back(message);
        }
    }

    /// Sends a command and waits for its response.
    #[track_caller]
    fn tell(&mut self, method: &str, params: Value) -> Value {
        self.sent += 1;
        let id = self.sent;
        let mut command = json!({"id": id, "method": method, "params": params});
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        self.commands.write_all(command.to_string().as_bytes()).unwrap();
        self.commands.write_all(&[0]).unwrap();
        loop {
            let message = self.next_message(method);
            if message["id"] == id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].clone();
            }
            self.events.push_back(message);
        }
    }

    #[track_caller]
    fn next_message(&mut self, awaited: &str) -> Value {
        let message =
            self.messages.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("chromium, {awaited}: {error}"));
        let params = &message["params"];
        match message["method"].as_str() {
            Some("Log.entryAdded") if params["entry"]["level"] == "error" => {
                self.errors.push(params["entry"].to_string())
            }
            Some("Runtime.exceptionThrown") => self.errors.push(params["exceptionDetails"].to_string()),
            Some("Runtime.consoleAPICalled") if params["type"] == "error" => self.errors.push(params.to_string()),
            Some("Network.requestWillBeSent") if !params["request"]["url"].as_str().unwrap().starts_with("data:") => {
                self.requests.push(params["request"]["url"].to_string())
            }
            // A form with changes asks before it is left: the person leaves it.
            Some("Page.javascriptDialogOpening") => {
                self.sent += 1;
                let accept = json!({"id": self.sent, "method": "Page.handleJavaScriptDialog", "params": {"accept": true}, "sessionId": self.session});
                self.commands.write_all(accept.to_string().as_bytes()).unwrap();
                self.commands.write_all(&[0]).unwrap();
            }
            _ => {}
        }
        message
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn installed() -> Option<PathBuf> {
    let folders = ["/usr/bin", "/usr/local/bin", "/snap/bin"];
    let names = ["chromium", "chromium-browser", "google-chrome"];
    folders.iter().flat_map(|folder| names.map(|name| Path::new(folder).join(name))).find(|path| path.exists())
}

#[expect(clippy::disallowed_methods, reason = "a test's own environment, and not the program's")]
pub fn is_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}
