//! For everybody, everywhere: light and dark, phone and wall, keyboard and screen reader.

use serde_json::json;

use crate::browser::Browser;
use crate::support::Setup;
use crate::views::Scene;

fn every_view(scene: &Scene) -> Vec<String> {
    let fixed = ["#/", "#/backends", "#/sessions", "#/traffic", "#/limits", "#/cache", "#/events", "#/instances"];
    let own = [format!("#/backend/{}", scene.id(0)), "#/caller/127.0.0.1".to_owned()];
    fixed.into_iter().map(str::to_owned).chain(own).collect()
}

#[test]
fn every_view_is_for_everybody_in_light_and_dark_on_a_phone_and_on_a_wall() {
    let scene = Scene::new();
    scene.sessions.iter().for_each(|session| drop(session.call("session")));
    let mut browser = Browser::start();
    for (width, height, scheme) in
        [(1440, 900, "light"), (1440, 900, "dark"), (360, 740, "light"), (3840, 2160, "dark")]
    {
        browser.open_as(&scene.gateway, "", &json!({"width": width, "height": height, "scheme": scheme}));
        browser.see("All is well");
        match (width, scheme) {
            (1440, "dark") => browser.picture("dashboard-dark.png"),
            (360, _) => browser.picture("dashboard-phone.png"),
            _ => {}
        }
        for view in every_view(&scene) {
            let what = format!("{view} at {width} in {scheme}");
            browser.go(&view);
            browser.until("document.querySelector('main').children.length > 0 && document.querySelector('[aria-current=page]') !== null");
            let over = browser.eval("document.documentElement.scrollWidth - innerWidth");
            assert!(over.as_i64().unwrap() <= 0, "{what}: wider than the screen by {over}");
            assert_eq!(browser.eval("document.querySelectorAll('h1, h2').length > 0"), json!(true), "{what}");
            browser.is_for_everybody(&what);
        }
        let ground = browser.eval("getComputedStyle(document.body).backgroundColor");
        assert_eq!(ground, json!(if scheme == "dark" { "rgb(12, 19, 24)" } else { "rgb(243, 245, 246)" }));
    }
    browser.part_in_peace(&[&scene.gateway]);
}

#[test]
fn colours_can_be_chosen_and_stay_chosen() {
    let scene = Scene::new();
    let mut browser = Browser::start();
    browser.open(&scene.gateway, "");
    browser.see("All is well");
    browser.press_button("Auto colours, change");
    browser.press_button("Light colours, change");
    let ground = "getComputedStyle(document.body).backgroundColor";
    assert_eq!(browser.eval(ground), json!("rgb(12, 19, 24)"));
    browser.open(&scene.gateway, "");
    browser.see("All is well");
    assert_eq!(browser.eval(ground), json!("rgb(12, 19, 24)"));
    browser.is_for_everybody("dark by choice");
    browser.part_in_peace(&[&scene.gateway]);
}

#[test]
fn a_keyboard_does() {
    let scene = Scene::new();
    let mut browser = Browser::start();
    browser.open(&scene.gateway, "");
    browser.see("All is well");
    browser.key("Tab");
    assert_eq!(browser.eval("document.activeElement.textContent"), json!("Skip to the content"));
    let seen = browser.eval("getComputedStyle(document.activeElement).outlineStyle");
    assert_eq!(seen, json!("solid"), "the focus is seen");
    browser.key("2");
    browser.see("3 of 3 shown");
    assert_eq!(browser.eval("document.activeElement.id"), json!("main"), "reading goes on in the new view");
    browser.key("/");
    assert_eq!(browser.eval("document.activeElement.type"), json!("search"));
    browser.key("Escape");
    browser.key("?");
    browser.see_in("dialog", "Keys.*Overview.*Search in this view");
    browser.is_for_everybody("the keys");
    browser.key("Escape");
    browser.until("!document.querySelector('dialog')");
    browser.key("2");
    // To the first backend, and there to the button that drains it; all without a pointer.
    let at = |browser: &mut Browser, wanted: &str| {
        for _ in 0..60 {
            if browser.eval("document.activeElement.textContent").as_str().is_some_and(|text| text == wanted) {
                return;
            }
            browser.key("Tab");
        }
        panic!("the focus never came to {wanted}");
    };
    at(&mut browser, &scene.name(0));
    browser.key("Enter");
    browser.see("Up: takes requests and new sessions");
    at(&mut browser, "Drain …");
    browser.key("Enter");
    browser.see_in("dialog", "Drain .*It takes no new sessions");
    assert_eq!(browser.eval("document.activeElement.textContent"), json!("Cancel"), "Enter pressed twice does nothing");
    browser.is_for_everybody("a question");
    browser.key("Escape");
    browser.until("!document.querySelector('dialog')");
    assert_eq!(scene.gateway.backends()[0]["state"], "up");
    browser.part_in_peace(&[&scene.gateway]);
}

#[test]
fn the_token_is_asked_for_and_stays_in_the_tab() {
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "s3cret-and-long-enough").unwrap();
    let server = crate::support::Backend::legacy("a");
    let gateway = Setup::of(&[server.url()]).key(&format!("admin_token_file = {:?}", secret.path())).start();
    let mut browser = Browser::start();
    browser.expect_complaint("401 (Unauthorized)");
    browser.open(&gateway, "");
    browser.see_in("dialog", "asks for the admin token");
    browser.is_for_everybody("the question for the token");
    let try_it = |browser: &mut Browser, token: &str| {
        browser.order(&json!({"do": "fill", "label": "Admin token", "value": token}));
        browser.key("Enter");
    };
    try_it(&mut browser, "wrong");
    browser.see_in("dialog", "That is not the token");
    try_it(&mut browser, "s3cret-and-long-enough");
    browser.see("All is well");
    let places = browser.eval(
        "[Object.values(localStorage), document.cookie, location.href, document.documentElement.outerHTML].join()",
    );
    assert!(!places.as_str().unwrap().contains("s3cret"), "it lies nowhere but in the tab's own storage");
    browser.part_in_peace(&[&gateway]);
}
