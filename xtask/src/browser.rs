//! A phone's browser: headless Chromium at 390 × 844, driven by ChromeDriver
//! over W3C WebDriver. It sees the page as the owner does, script and all, or without
//! scripts, and takes the box's own certificate as it comes.

use crate::tool::ToolError;
use anyhow::{Context, Result, anyhow, bail, ensure};
use base64::Engine;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The key that W3C WebDriver (section 11) gives an element's name.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";
/// Nothing but the page: Chromium otherwise calls its maker at every start.
const ARGUMENTS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=390,844",
];

/// The smallest phone that the page has to fit, and a usual one: width and height in
/// CSS pixels.
const PHONES: [(u32, u32); 2] = [(320, 568), (390, 844)];
/// Names what is wider than the page or cut off, with all folds open. The width of the
/// page is that of the phone, unless something makes it wider.
const TOO_WIDE: &str = "
    const width = arguments[0], folds = [...document.querySelectorAll('details:not([open])')];
    for (const fold of folds) fold.open = true;
    const wrong = [];
    const page = document.documentElement.scrollWidth;
    if (page > width) wrong.push(`the page is ${page} pixels wide`);
    for (const part of document.body.querySelectorAll('*')) {
      const { left, right, width: wide } = part.getBoundingClientRect();
      const cut = part.clientWidth > 0 && part.scrollWidth > part.clientWidth + 1
        && !['INPUT', 'TEXTAREA', 'PROGRESS'].includes(part.tagName);
      if (wide > 0 && (left < -0.5 || right > width + 0.5 || cut)) {
        wrong.push(`<${part.tagName} id=${part.id}> from ${left} to ${right}`);
      }
    }
    for (const fold of folds) fold.open = false;
    return wrong.join(', ');";

/// A running browser. Dropping it ends it.
#[derive(Debug)]
pub struct Browser {
    driver: Child,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Starts ChromeDriver on a port of its own choice, and Chromium under it.
    pub fn start() -> Result<Self> {
        let profile = tempfile::tempdir()?;
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|source| ToolError::Start {
                program: "chromedriver".into(),
                package: "chromium-driver",
                source,
            })?;
        let said = driver.stdout.take().context("chromedriver's output")?;
        let mut browser = Self {
            driver,
            session: String::new(),
            _profile: profile,
        };
        let port = BufReader::new(said)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| port_in(&line))
            .context("chromedriver did not name its port")?;
        let mut arguments: Vec<String> = ARGUMENTS.map(str::to_owned).to_vec();
        arguments.push(format!(
            "--user-data-dir={}",
            browser._profile.path().display()
        ));
        let driver = format!("http://127.0.0.1:{port}/session");
        let wanted = json!({"capabilities": {"alwaysMatch": {
            "acceptInsecureCerts": true,
            "goog:chromeOptions": {
                "args": arguments,
                // A window is never narrower than 500 pixels; a phone's is.
                "mobileEmulation": {
                    "deviceMetrics": {"width": 390, "height": 844, "pixelRatio": 1.0},
                },
            },
        }}});
        let value = call("POST", &driver, &wanted)?;
        let id = value["sessionId"]
            .as_str()
            .context("WebDriver: no session")?;
        browser.session = format!("{driver}/{id}");
        Ok(browser)
    }

    /// Opens a page and waits until it is loaded.
    pub fn open(&self, url: &str) -> Result<()> {
        self.post("url", &json!({ "url": url })).map(drop)
    }

    /// Types into the element that a CSS selector names.
    pub fn type_into(&self, selector: &str, text: &str) -> Result<()> {
        let element = self.element(selector)?;
        self.post(
            &format!("element/{element}/value"),
            &json!({ "text": text }),
        )
        .map(drop)
    }

    /// Empties the field that a CSS selector names.
    pub fn clear(&self, selector: &str) -> Result<()> {
        let element = self.element(selector)?;
        self.post(&format!("element/{element}/clear"), &json!({}))
            .map(drop)
    }

    /// Touches the element that a CSS selector names.
    pub fn click(&self, selector: &str) -> Result<()> {
        let element = self.element(selector)?;
        self.post(&format!("element/{element}/click"), &json!({}))
            .map(drop)
    }

    /// Presses the element that a CSS selector names, by events of a mouse: WebDriver's
    /// own click runs a script in the page and waits for it, for ever without scripts.
    pub fn press(&self, selector: &str) -> Result<()> {
        let middle = "const e = document.querySelector(arguments[0]);
            e.scrollIntoView({ block: 'center', behavior: 'instant' });
            const { x, y, width, height } = e.getBoundingClientRect();
            return [x + width / 2, y + height / 2];";
        let middle = json!({ "script": middle, "args": [selector] });
        let middle = self
            .post("execute/sync", &middle)
            .with_context(|| selector.to_owned())?;
        for event in ["mousePressed", "mouseReleased"] {
            let event = json!({
                "type": event, "x": middle[0], "y": middle[1], "button": "left", "clickCount": 1,
            });
            self.devtools("Input.dispatchMouseEvent", &event)?;
        }
        Ok(())
    }

    /// The text of every element that a CSS selector names.
    pub fn texts(&self, selector: &str) -> Result<Vec<String>> {
        let script = "return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)";
        let found = self.post(
            "execute/sync",
            &json!({ "script": script, "args": [selector] }),
        )?;
        serde_json::from_value(found).context("WebDriver: no texts")
    }

    /// Waits until the page's text holds `words`.
    pub fn wait_for_text(&self, words: &str, limit: Duration) -> Result<()> {
        let end = Instant::now() + limit;
        loop {
            // A page that is just being loaded anew has no body for a moment.
            let text = self.script("return document.body ? document.body.innerText : ''");
            let text = text.unwrap_or_default();
            let text = text.as_str().unwrap_or_default();
            if text.contains(words) {
                return Ok(());
            }
            if Instant::now() > end {
                bail!("the page does not say {words:?} within {limit:?}; it says: {text}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Takes a picture of the page and checks that nothing of it is cut off, nor has to
    /// be scrolled sideways, on the smallest phone and on a usual one.
    pub fn fits(&self, picture: &Path) -> Result<()> {
        self.screenshot(picture)?;
        for (width, height) in PHONES {
            let size = json!({
                "width": width, "height": height, "deviceScaleFactor": 1, "mobile": true,
            });
            self.devtools("Emulation.setDeviceMetricsOverride", &size)?;
            let script = json!({ "script": TOO_WIDE, "args": [width] });
            let wrong = self.post("execute/sync", &script)?;
            ensure!(
                wrong == "",
                "{}: at {width} × {height} {wrong}",
                picture.display()
            );
        }
        Ok(())
    }

    /// Whether pages may run scripts, from the next one on.
    pub fn scripts(&self, allowed: bool) -> Result<()> {
        let value = json!({ "value": !allowed });
        self.devtools("Emulation.setScriptExecutionDisabled", &value)
    }

    /// Whether the element that a CSS selector names can be seen.
    pub fn shows(&self, selector: &str) -> Result<bool> {
        let script = "const e = document.querySelector(arguments[0]);
            return Boolean(e) && e.getClientRects().length > 0";
        let shown = json!({ "script": script, "args": [selector] });
        let shown = self.post("execute/sync", &shown)?;
        shown.as_bool().context("WebDriver: no answer")
    }

    /// The path of the page's address.
    pub fn path(&self) -> Result<String> {
        let path = self.script("return location.pathname")?;
        Ok(path.as_str().context("WebDriver: no path")?.to_owned())
    }

    /// Takes a picture of the page.
    pub fn screenshot(&self, file: &Path) -> Result<()> {
        let value = call("GET", &format!("{}/screenshot", self.session), &Value::Null)?;
        let text = value.as_str().context("WebDriver: no picture")?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text)?;
        std::fs::write(file, bytes).with_context(|| file.display().to_string())
    }

    /// A command of the Chrome DevTools Protocol.
    fn devtools(&self, command: &str, parameters: &Value) -> Result<()> {
        let body = json!({ "cmd": command, "params": parameters });
        self.post("goog/cdp/execute", &body).map(drop)
    }

    fn script(&self, script: &str) -> Result<Value> {
        self.post("execute/sync", &json!({ "script": script, "args": [] }))
    }

    fn element(&self, selector: &str) -> Result<String> {
        let wanted = json!({ "using": "css selector", "value": selector });
        let value = self
            .post("element", &wanted)
            .with_context(|| selector.to_owned())?;
        Ok(value[ELEMENT]
            .as_str()
            .context("WebDriver: no element")?
            .to_owned())
    }

    fn post(&self, what: &str, body: &Value) -> Result<Value> {
        call("POST", &format!("{}/{what}", self.session), body)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The session's end closes Chromium; a driver that does not answer is killed.
        let _ = call("DELETE", &self.session, &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// "ChromeDriver was started successfully on port 41234."
fn port_in(line: &str) -> Option<u16> {
    line.split("started successfully on port ")
        .nth(1)?
        .trim_end_matches('.')
        .trim()
        .parse()
        .ok()
}

/// One WebDriver command; its value, or its error in words.
fn call(method: &str, url: &str, body: &Value) -> Result<Value> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(Duration::from_secs(240)))
        .build()
        .into();
    let mut answer = match method {
        "POST" => agent.post(url).send(body.to_string())?,
        "DELETE" => agent.delete(url).call()?,
        _ => agent.get(url).call()?,
    };
    let text = answer
        .body_mut()
        .with_config()
        .limit(64 << 20)
        .read_to_string()?;
    let mut answer: Value = serde_json::from_str(&text)?;
    let value = answer["value"].take();
    match value["error"].as_str() {
        None => Ok(value),
        Some(error) => Err(anyhow!("WebDriver: {error}: {}", value["message"])),
    }
}

#[cfg(test)]
mod tests {
    use super::port_in;

    #[test]
    fn the_drivers_port_is_read_from_its_greeting() {
        let greeting = "ChromeDriver was started successfully on port 41234.";
        assert_eq!(port_in(greeting), Some(41234));
        assert_eq!(
            port_in("Starting ChromeDriver 156.0.8078.73 on port 0"),
            None
        );
    }
}
