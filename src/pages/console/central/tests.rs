use crate::central::backup_status::BackupOutcome;
use crate::tests::{PASSWORD, TestBrowser, TestServer};
use crate::values::Timestamp;

fn owner(server: &TestServer) -> TestBrowser<'_> {
    TestBrowser::signed_in(server, "owner@example.com")
}

#[track_caller]
fn shows(browser: &TestBrowser<'_>, texts: &[&str]) {
    for text in texts {
        assert!(browser.page.text.contains(text), "{text}: {browser:?}");
    }
}

#[test]
fn the_first_page_shows_workspaces_with_their_entrance_and_their_state() {
    let server = TestServer::new();
    let mut browser = owner(&server);
    assert_eq!(browser.url, "http://localhost/ui");
    shows(&browser, &["<h1>Workspaces</h1>", "http://acme.localhost/ui/enter", "other.localhost", "New workspace"]);
    shows(&browser, &["href=\"/ui/account\"", "href=\"/ui/instance\"", "<summary>Somebody</summary>"]);
    browser.go("http://acme.localhost/ui/enter");
    assert_eq!(browser.url, "http://acme.localhost/ui");

    server.join_acme("zoe@example.com", "agent");
    let mut zoe = TestBrowser::signed_in(&server, "zoe@example.com");
    shows(&zoe, &["<span class=\"tag\">agent</span>"]);
    assert!(!zoe.page.text.contains("/ui/instance") && !zoe.page.text.contains("owner</span>"), "{zoe:?}");
    assert_eq!(zoe.go("/ui/instance").page.status, 403);
    let acme = format!("/ui/workspaces/{}", server.acme.id);
    zoe.go(&acme);
    shows(&zoe, &["<h1>acme</h1>", "Only the owner can change"]);
    assert!(!zoe.page.text.contains("owner@example.com") && !zoe.page.text.contains("/transfer"), "{zoe:?}");
    for forbidden in ["edit", "transfer", "delete", "export", "members"] {
        assert_eq!(zoe.go(&format!("{acme}/{forbidden}")).page.status, 403, "{forbidden}");
    }
    assert_eq!(zoe.go(&format!("/ui/workspaces/{}", server.other.id)).page.status, 404);
}

#[test]
fn an_account_without_a_workspace_learns_what_to_do_and_makes_one() {
    let server = TestServer::new();
    server.stranger();
    let mut browser = TestBrowser::signed_in(&server, "stranger@example.com");
    browser.go("/ui");
    let own = server.anonymous().with_token(server.token("stranger@example.com", crate::auth::TokenScope::Central));
    let had = own.get("/workspaces").ok()["total"].as_u64().unwrap();
    if had == 0 {
        shows(&browser, &["You are not in a workspace yet."]);
    }
    browser.go("/ui/workspaces/new").submit("/ui/workspaces/new", &[("name", "Zoé & Cie")]);
    shows(&browser, &["<h1>Zoé &#38; Cie</h1>", "Created.", "http://zoe-cie.localhost/ui/enter"]);
    browser.go("/ui/workspaces/new").submit("/ui/workspaces/new", &[("name", "N"), ("subdomain", "acme")]);
    assert_eq!(browser.page.status, 422);
    shows(&browser, &["value=\"acme\"", "value=\"N\""]);
}

#[test]
fn an_invitation_is_accepted_or_declined_with_one_click() {
    let server = TestServer::new();
    server.stranger();
    let (first, _) = server.invited("stranger@example.com");
    let mut browser = TestBrowser::signed_in(&server, "stranger@example.com");
    shows(&browser, &["<h2>Invitations</h2>", "invites you as"]);
    browser.submit(&format!("/ui/user-invites/{first}/decline"), &[]);
    shows(&browser, &["The invitation is declined."]);
    assert!(!browser.page.text.contains("<h2>Invitations</h2>"), "{browser:?}");
    let (second, _) = server.invited("stranger@example.com");
    browser.go("/ui").submit(&format!("/ui/user-invites/{second}/accept"), &[]);
    shows(&browser, &["You are a member now.", "/ui/enter\">Open"]);
    let again = format!("/ui/user-invites/{second}/accept");
    browser.go(&again).submit(&again, &[]);
    assert_eq!(browser.page.status, 422);
}

#[test]
fn the_owner_renames_hands_over_exports_and_deletes_a_workspace() {
    let server = TestServer::new();
    server.join_acme("zoe@example.com", "agent");
    let mut browser = owner(&server);
    let acme = format!("/ui/workspaces/{}", server.acme.id);
    browser.go(&format!("{acme}/edit"));
    shows(&browser, &["the old address stops working at once"]);
    browser.submit(&format!("{acme}/edit"), &[("name", "Acme & Co"), ("subdomain", "acme-co")]);
    shows(&browser, &["<h1>Acme &#38; Co</h1>", "Saved.", "http://acme-co.localhost"]);

    browser.go(&format!("{acme}/transfer"));
    shows(&browser, &["zoe@example.com</option>"]);
    assert!(!browser.page.text.contains("owner@example.com</option>"), "{browser:?}");
    browser.submit(&format!("{acme}/transfer"), &[("account_id", "")]);
    assert_eq!(browser.page.status, 422, "{browser:?}");

    browser.go(&format!("{acme}/export"));
    assert_eq!(browser.page.headers["content-disposition"], "attachment; filename=\"acme-co.sqlite\"");

    browser.go(&format!("{acme}/delete"));
    shows(&browser, &["Type “acme-co” to confirm", "For 30 days"]);
    browser.submit(&format!("{acme}/delete"), &[("subdomain", "acme")]);
    assert_eq!(browser.page.status, 422);
    shows(&browser, &["as a confirmation", "value=\"acme\""]);
    let zoe = server.anonymous().with_token(server.token("zoe@example.com", crate::auth::TokenScope::Central));
    let zoe = zoe.get("/whoami").ok()["user"]["id"].to_string();
    browser.go(&format!("{acme}/transfer")).submit(&format!("{acme}/transfer"), &[("account_id", &zoe)]);
    shows(&browser, &["Saved.", "Only the owner can change"]);

    let mut zoe = TestBrowser::signed_in(&server, "zoe@example.com");
    zoe.go(&format!("{acme}/delete")).submit(&format!("{acme}/delete"), &[("subdomain", "acme-co")]);
    assert_eq!(zoe.url, "http://localhost/ui?done=in_trash");
    shows(&zoe, &["The workspace is in the trash.", "You are not in a workspace yet."]);
}

#[test]
fn name_address_and_password_change_on_the_page_of_the_account() {
    let server = TestServer::new();
    let mut browser = owner(&server).in_french();
    browser.go("/ui/account");
    shows(&browser, &["<h1>Compte</h1>", "owner@example.com", "cette session", "inactif"]);
    browser.go("/ui/account/name").submit("/ui/account/name", &[("name", "  ")]);
    assert_eq!(browser.page.status, 422);
    shows(&browser, &["« Nom » est obligatoire", "aria-invalid=\"true\"", "autocomplete=\"name\""]);
    browser.submit("/ui/account/name", &[("name", "Zoé \"Z\"")]);
    shows(&browser, &["Enregistré.", "<dd>Zoé &#34;Z&#34;</dd>"]);

    browser.go("/ui/account/email");
    shows(&browser, &["autocomplete=\"current-password\""]);
    browser.submit("/ui/account/email", &[("email", "new@example.com"), ("current_password", "wrong")]);
    assert_eq!(browser.page.status, 422);
    shows(&browser, &["Le mot de passe actuel est faux.", "value=\"new@example.com\""]);
    assert!(!browser.page.text.contains("value=\"wrong\""), "{browser:?}");
    browser.submit("/ui/account/email", &[("email", "new@example.com"), ("current_password", PASSWORD)]);
    shows(&browser, &["Un code a été envoyé à new@example.com."]);
    browser.go("/ui/account/email/verify").submit("/ui/account/email/verify", &[("code", "AAAA")]);
    assert_eq!(browser.page.status, 422, "{browser:?}");
    let code = server.mailed("/ui/verify-email?code=");
    browser.submit("/ui/account/email/verify", &[("code", &code)]);
    shows(&browser, &["<dd>new@example.com <span class=\"state good\">confirmée</span></dd>"]);

    browser.go("/ui/account/password");
    browser.submit("/ui/account/password", &[("current_password", PASSWORD), ("password", "")]);
    assert_eq!(browser.page.status, 422, "{browser:?}");
    browser.submit("/ui/account/password", &[("current_password", PASSWORD), ("password", "quite-a-long-one")]);
    shows(&browser, &["Enregistré.", "<h1>Compte</h1>"]);
}

#[test]
fn sessions_and_tokens_are_shown_created_once_and_revoked() {
    let server = TestServer::new();
    let elsewhere = server.central();
    let mut browser = owner(&server);
    browser.go("/ui/tokens/new");
    shows(&browser, &["<option value=\"86400\">1 day</option>", ">acme</option>"]);
    let acme = server.acme.id.to_string();
    browser.submit("/ui/tokens/new", &[("label", "Nightly"), ("workspace_id", &acme), ("expires_in", "86400")]);
    shows(&browser, &["Save this secret now", "curl http://acme.localhost/api/whoami", "href=\"/ui/tokens\""]);
    let (_, token) = browser.page.text.split_once("id=\"secret\"").unwrap();
    let token = token.split("value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let program = server.anonymous().at("acme.localhost").with_token(token);
    program.get("/customers").ok();
    browser.go("/ui/account");
    shows(&browser, &["<b>Nightly</b>", "token of a program", "this session"]);
    let id = program.get("/whoami").ok()["token"]["id"].to_string();
    browser.go(&format!("/ui/tokens/{id}/delete"));
    shows(&browser, &["Revoke “Nightly”?"]);
    browser.submit(&format!("/ui/tokens/{id}/delete"), &[]);
    shows(&browser, &["Revoked.", "<h1>Account</h1>"]);
    program.get("/customers").rejected(401, "token_revoked");
    assert_eq!(browser.go(&format!("/ui/tokens/{id}/delete")).page.status, 404);
    elsewhere.get("/whoami").ok();
    browser.go("/ui/tokens");
    shows(&browser, &["<h1>Sessions and tokens <span", "this session"]);
    browser.go("/ui/account/revoke-others").submit("/ui/account/revoke-others", &[]);
    shows(&browser, &["Revoked.", "this session"]);
    elsewhere.get("/whoami").rejected(401, "token_revoked");
}

#[test]
fn an_account_is_deleted_with_its_password_once_it_owns_nothing() {
    let server = TestServer::new();
    server.join_acme("zoe@example.com", "agent");
    let mut browser = owner(&server);
    browser.go("/ui/account/delete").submit("/ui/account/delete", &[("current_password", PASSWORD)]);
    assert_eq!(browser.page.status, 422, "owns workspaces: {browser:?}");
    let mut zoe = TestBrowser::signed_in(&server, "zoe@example.com");
    zoe.go("/ui/account/delete").submit("/ui/account/delete", &[("current_password", "wrong")]);
    shows(&zoe, &["The current password is wrong."]);
    zoe.submit("/ui/account/delete", &[("current_password", PASSWORD)]);
    assert_eq!(zoe.url, "http://localhost/ui/sign-in");
    zoe.submit("/ui/sign-in", &[("email", "zoe@example.com"), ("password", PASSWORD)]);
    assert_eq!(zoe.page.status, 401);
}

#[test]
fn operators_see_the_instance_and_remove_a_lost_second_factor() {
    let server = TestServer::new();
    server.join_acme("zoe@example.com", "agent");
    let zoe = server.anonymous().with_token(server.token("zoe@example.com", crate::auth::TokenScope::Central));
    crate::tests::AuthenticatorApp::enroll(&zoe);
    let id = zoe.get("/whoami").ok()["user"]["id"].to_string();
    let mut browser = owner(&server);
    browser.go("/ui/instance");
    shows(&browser, &["<h1>Instance</h1>", env!("CARGO_PKG_VERSION"), "Running since"]);
    browser.go("/ui/accounts");
    shows(&browser, &["zoe@example.com"]);
    let page = format!("/ui/accounts/{id}/second-factor");
    shows(&browser, &[&format!("href=\"{page}\"")]);
    browser.go(&page).submit(&page, &[]);
    assert_eq!(browser.url, "http://localhost/ui/accounts?done=done");
    assert!(!browser.page.text.contains(&page), "{browser:?}");
    assert_eq!(zoe.get("/account/second-factor").ok()["enabled"], false);
    browser.go("/ui/audit-log");
    shows(&browser, &["zoe@example.com"]);
    let mut zoe = TestBrowser::signed_in(&server, "zoe@example.com");
    for path in ["/ui/instance", "/ui/accounts", &page] {
        assert_eq!(zoe.go(path).page.status, 403, "{path}");
    }
}

#[test]
fn an_operator_backs_up_on_a_page_and_sees_what_is_wrong_with_a_backup() {
    let server = TestServer::new();
    let mut browser = owner(&server);
    let page = "/ui/instance/backups";
    for path in ["/ui/instance", page] {
        browser.go(path);
        shows(&browser, &["<p class=\"wrong\">There is no good backup of everything."]);
    }
    browser.submit("/ui/instance/backups/new", &[]);
    assert_eq!(browser.url, format!("http://localhost{page}"));
    while browser.page.text.contains("<progress") {
        shows(&browser, &["http-equiv=\"refresh\"", " data-progress></progress>", " workspaces</p>"]);
        browser.go(page);
    }
    shows(
        &browser,
        &["<p class=\"notice\">The newest good backup is less than an hour old.", "everything, 2 workspaces"],
    );
    let listed = server.central().get("/instance/backups").ok();
    let (name, folder) = (listed["backups"][0]["name"].as_str().unwrap(), listed["folder"].as_str().unwrap());
    shows(&browser, &[&format!("cx-engine restore SUBDOMAIN --backup {name} --backup-dir {folder}</pre>")]);

    // A day and two hours later.
    let manifest = format!("{folder}/{name}/manifest.json");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let (taken, old) =
        (listed["backups"][0]["taken_at"].as_str().unwrap(), Timestamp::now().plus(-27 * 3600).to_string());
    std::fs::write(&manifest, text.replace(taken, &old)).unwrap();
    for path in ["/ui/instance", page] {
        browser.go(path);
        shows(&browser, &["<p class=\"wrong\">The newest good backup is 27 hours old. Make one every day."]);
    }
    let failed = BackupOutcome::Failed { problem: "the bucket is full".into() };
    server.instance.central.record_backup(failed, Timestamp::now()).unwrap();
    browser.go(page);
    shows(&browser, &["<p class=\"wrong\">The last backup failed: the bucket is full</p>"]);
    std::fs::write(format!("{folder}/{name}/central.sqlite.zst"), "nonsense").unwrap();
    browser.submit(&format!("/ui/instance/backups/{name}/verify"), &[]);
    while browser.page.text.contains("<progress") {
        browser.go(page);
    }
    shows(&browser, &["The verification of ", "1 of 3 files is damaged", "There is no good backup"]);
}

#[test]
fn an_operator_checks_the_instance_on_a_page_and_fixes_what_was_found() {
    let server = TestServer::new();
    let mut browser = owner(&server);
    let page = "/ui/instance/findings";
    let check = |browser: &mut TestBrowser<'_>| {
        browser.go(page).submit("/ui/instance/findings/check", &[]);
        assert_eq!(browser.url, format!("http://localhost{page}"));
        while browser.page.text.contains("<progress") {
            shows(browser, &["http-equiv=\"refresh\"", " data-progress></progress>"]);
            browser.go(page);
        }
    };
    for path in ["/ui/instance", page] {
        browser.go(path);
        shows(&browser, &["<p class=\"wrong\">The instance was not checked yet."]);
    }
    check(&mut browser);
    for path in ["/ui/instance", page] {
        browser.go(path);
        shows(&browser, &["<p class=\"notice\">The last check was less than an hour ago. It found nothing."]);
    }
    // A day and two hours later.
    let saved = server.instance.config.data_dir.join("findings.json");
    let at = server.central().get("/instance/findings").ok()["checked_at"].as_str().unwrap().to_owned();
    let old = Timestamp::now().plus(-27 * 3600).to_string();
    std::fs::write(&saved, std::fs::read_to_string(&saved).unwrap().replace(&at, &old)).unwrap();
    browser.go(page);
    shows(
        &browser,
        &["<p class=\"wrong\">The last check was 27 hours ago. It found nothing. Check the instance every day."],
    );

    server.join_acme("zoe@example.com", "agent");
    server.in_file(|db| Ok(db.execute("DELETE FROM users WHERE email = 'zoe@example.com'", []).map(|_| ())?));
    std::fs::remove_file(server.instance.registry.path(server.other.id)).unwrap();
    check(&mut browser);
    shows(
        &browser,
        &["It found 2 problems.", "Member without a user", "its file is missing", "Restore the file from a backup."],
    );
    let (_, rest) = browser.page.text.split_once("action=\"/ui/instance/findings/0").unwrap();
    let fix = format!("/ui/instance/findings/0{}", rest.split('"').next().unwrap());
    browser.submit(&fix, &[]);
    shows(&browser, &["It found 1 problem.", "File missing"]);
    assert!(!browser.page.text.contains("Member without a user"), "{browser:?}");
}

#[test]
fn the_last_hour_is_drawn_and_is_a_table() {
    let server = TestServer::with(&[("metrics", "true")]);
    let mut browser = owner(&server);
    browser.go("/ui/instance");
    shows(&browser, &["The first minute is not over yet."]);
    let start = Timestamp::now();
    (0..61).for_each(|n| crate::central::instance_figures::read(&server.instance, start.plus(60 * n)));
    browser.go("/ui/instance");
    let page = &browser.page.text;
    assert_eq!((page.matches("<svg viewBox=\"0 0 300 120\"").count(), page.matches("<tr>").count()), (4, 61));
    let pictures = page.split("<svg viewBox=\"0 0 300").skip(1).map(|rest| rest.split("</svg>").next().unwrap());
    assert!(pictures.map(str::len).all(|length| length < 4_000), "{page}");
    assert!(page.len() < 60_000 && !page.contains("style="), "{} bytes", page.len());
    shows(&browser, &["Requests:", "at most ", "\u{a0}MB</td>"]);

    let server = TestServer::with(&[("metrics", "false")]);
    (0..2).for_each(|n| crate::central::instance_figures::read(&server.instance, start.plus(60 * n)));
    let mut browser = owner(&server);
    browser.go("/ui/instance");
    shows(&browser, &["Requests and waits are not counted", "<h2>Memory</h2>"]);
    assert!(!browser.page.text.contains("<h2>Requests</h2>"), "{browser:?}");
}
