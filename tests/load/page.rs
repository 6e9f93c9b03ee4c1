//! The page of a run in a real browser.

use std::path::Path;

use serde_json::json;

use crate::browser::Browser;
use crate::loaded::{Loaded, gateway, load, options, replica, server};
use crate::support::backend::Kind;

/// A run with something to see in each chart.
fn eventful() -> Loaded {
    let options = options(
        &[replica("a"), replica("b"), gateway()],
        "--chaos kill:a@6s,restart@9s,pause:b@14s+1s --users 30 --rate 3000 --duration 20s --ramp 3s \
         --streams 50% --session-calls 15 --tool look=3:{\"ms\":5} --tool whoami --tool slow=1:{\"steps\":2,\"ms\":20} \
         --max-errors 100000",
    );
    let loaded = load("http://127.0.0.1:{gateway.port}/mcp", &options);
    assert_eq!(loaded.code, Some(0), "{}{}", loaded.said, loaded.told);
    loaded
}

/// Every chart is drawn within its frame, and none is empty.
const CHARTS: &str = "[...document.querySelectorAll('figure')].map((figure) => {
  const svg = [...figure.querySelectorAll('svg.chart')].filter((one) => one.getBoundingClientRect().width > 0);
  const box = svg[0].getBoundingClientRect();
  const drawn = [...svg[0].querySelectorAll('path[class^=line], rect[class^=fill]')].filter((one) => one.getBoundingClientRect().width > 1);
  const outside = [...svg[0].querySelectorAll('path, rect, text')].filter((one) => one.getBoundingClientRect().right > box.right + 1.5);
  return { id: figure.id, shown: svg.length, drawn: drawn.length, outside: outside.length, marks: svg[0].querySelectorAll('.mark').length };
})";

fn check_charts(browser: &mut Browser, what: &str) {
    let charts = browser.eval(CHARTS);
    let charts = charts.as_array().unwrap();
    assert_eq!(charts.len(), 6, "{what}");
    for chart in charts {
        assert_eq!((chart["shown"].as_u64(), chart["outside"].as_u64()), (Some(1), Some(0)), "{what}: {chart}");
        assert!(chart["drawn"].as_u64() > Some(0) || chart["id"] == "errors", "{what}: {chart}");
        let over_time = !matches!(chart["id"].as_str(), Some("percentiles" | "users"));
        assert!(!over_time || chart["marks"].as_u64() >= Some(4), "{what}: {chart}");
    }
    let wider = browser.eval("document.documentElement.scrollWidth - document.documentElement.clientWidth");
    assert_eq!(wider, 0, "{what} is wider than its screen");
    browser.is_for_everybody(what);
}

#[test]
fn the_page_of_a_run_is_drawn_asks_nobody_and_is_for_everybody() {
    let loaded = eventful();
    let url = format!("file://{}", loaded.file("run.html").display());
    let mut browser = Browser::start();
    for (name, width, height, scheme) in [
        ("light", 1440, 1300, "light"),
        ("dark", 1440, 1300, "dark"),
        ("phone", 390, 844, "light"),
        ("wall", 3840, 2160, "dark"),
    ] {
        browser.order(&json!({"do": "open", "url": url, "width": width, "height": height, "scheme": scheme}));
        browser.see("Latency over time.*Percentiles.*Fairness over users");
        browser.see("a killed.*started again.*b paused");
        check_charts(&mut browser, name);
        picture(&mut browser, name);
    }
    browser.order(&json!({"do": "open", "url": url}));
    // By keyboard: the chart is focused, and arrows go from point to point.
    browser.eval("document.querySelector('#latency svg.wide').focus()");
    browser.key("End");
    browser.see_in("#latency output", "^at .* s: p50 ");
    browser.key("ArrowLeft");
    assert_eq!(browser.eval("document.querySelector('#latency .cursor').getAttribute('visibility')"), "visible");
    // By pointer, and as a table.
    browser.order(&json!({"do": "hover", "css": "#rate svg.wide"}));
    browser.see_in("#rate output", "answered, .* planned");
    browser.order(&json!({"do": "click", "css": "#percentiles summary"}));
    browser.see_in("#percentiles table", "99 %");
    let heard = browser.order(&json!({"do": "heard"}));
    let asked: Vec<_> =
        heard["requests"].as_array().unwrap().iter().filter(|request| **request != json!(url)).collect();
    assert!(asked.is_empty(), "the page asked for {asked:?}");
    assert_eq!(heard["errors"], json!([]));
    browser.part_in_peace(&[]);
}

#[test]
fn the_page_lets_nothing_run_that_is_not_its_own() {
    let backend = server(Kind::Legacy, &["good"], |_, _| None);
    let loaded = load(&backend.url(), &["--duration", "2s", "--think", "200ms"]);
    let page = std::fs::read_to_string(loaded.file("run.html")).unwrap();
    let policy =
        page.split("Content-Security-Policy\" content=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert!(
        !page.contains("http://www")
            && !page.contains("https://")
            && !page.contains(" src=")
            && !page.contains(" href=")
    );
    // A script that somebody puts in does not run.
    let tampered = loaded.file("tampered.html");
    std::fs::write(&tampered, page.replace("</main>", "</main><script>document.title = 'owned'</script>")).unwrap();
    let mut browser = Browser::start();
    browser.order(&json!({"do": "open", "url": format!("file://{}", tampered.display())}));
    browser.see("Latency over time");
    assert_ne!(browser.eval("document.title"), "owned");
    let heard = browser.order(&json!({"do": "heard"}));
    assert!(heard["errors"].to_string().contains("Content Security Policy"), "{heard}");
    browser.part_in_peace(&[]);
}

/// Keeps a picture in the documentation, where these are to be written anew.
fn picture(browser: &mut Browser, name: &str) {
    if std::env::var_os("UPDATE").is_some() && name != "wall" {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/images/load-{name}.png"));
        browser.order(&json!({"do": "shot", "path": path}));
    }
}
