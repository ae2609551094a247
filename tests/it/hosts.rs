//! Hosts: the host of a request selects the layer and the workspace.

use std::fs;

use serde_json::json;

use crate::client::{Answer, Request};
use crate::test_server::{TestServer, eventually, text};

fn whoami(server: &TestServer, host: &str) -> Answer {
    server.ask(&Request { method: "GET", path: "/api/whoami", host, ..Request::default() })
}

#[test]
fn case_port_and_a_final_dot_do_not_matter() {
    let server = TestServer::new();
    let acme = server.team("acme");
    let layer = |host: &str| {
        let answer = server.ask(&Request { method: "GET", path: "/api", host, ..Request::default() });
        text(&answer.ok()["layer"])
    };
    for host in ["localhost", "LocalHost", "localhost:80", "localhost.", "LOCALHOST.:65535"] {
        assert_eq!(layer(host), "central", "{host}");
    }
    for host in ["acme.localhost", "ACME.localhost", "acme.localhost:80", "acme.localhost.", "Acme.LocalHost.:1"] {
        assert_eq!(layer(host), "workspace", "{host}");
        server.get(&acme.inside.on(host.split(':').next().unwrap()), "/customers").ok();
    }
}

#[test]
fn api_before_the_path_may_be_left_out() {
    let server = TestServer::new();
    let acme = server.team("acme").inside;
    server.customer(&acme, "Renault");
    for path in ["/api/customers/1", "/customers/1"] {
        let request =
            Request { method: "GET", path, host: &acme.host, token: acme.token.as_deref(), ..Request::default() };
        assert_eq!(server.ask(&request).ok()["name"], "Renault", "{path}");
    }
    for path in ["/apis/customers", "/api/api/customers", "/API/customers", "/customers/1/2/3", "//customers"] {
        let request =
            Request { method: "GET", path, host: &acme.host, token: acme.token.as_deref(), ..Request::default() };
        server.ask(&request).refused(404, "route_not_found");
    }
}

#[test]
fn a_host_that_is_not_ours_is_unknown_and_a_workspace_that_is_not_there_is_not_found() {
    let server = TestServer::new();
    for host in
        ["example.com", "192.168.1.5", "[2001:db8::1]:80", "a.b.localhost", "xlocalhost", ".localhost", "localhost.com"]
    {
        whoami(&server, host).refused(404, "unknown_host");
    }
    // Not every client can resolve localhost.
    for address in ["127.0.0.1", "[::1]:8080"] {
        whoami(&server, address).refused(401, "token_missing");
    }
    for host in ["acme.localhost", "www.localhost", "xn--caf-dma.localhost", "a_b.localhost"] {
        whoami(&server, host).refused(404, "workspace_not_found");
    }
}

#[test]
fn a_request_has_one_host() {
    let server = TestServer::new();
    whoami(&server, "").refused(400, "bad_request");
    let two = [("Host", "localhost"), ("Host", "localhost")];
    let request = Request { method: "GET", path: "/api", headers: &two, ..Request::default() };
    server.ask(&request).refused(400, "bad_request");

    let mut old = server.connect();
    old.send("GET /api HTTP/1.0\r\n\r\n").unwrap();
    old.receive().unwrap().unwrap().refused(400, "bad_request");
}

#[test]
fn another_central_domain_is_configured_and_the_old_one_is_unknown() {
    let server = TestServer::with(&["--central-domain", "CX.example.com"]);
    whoami(&server, "localhost").refused(404, "unknown_host");
    whoami(&server, "example.com").refused(404, "unknown_host");
    let body =
        json!({"name": "Ada", "email": "ada@example.com", "password": "a long enough one", "workspace_name": "Acme"});
    let body = body.to_string();
    let host = "cx.example.com:8443";
    let request = Request { method: "POST", path: "/register", host, body: Some(&body), ..Request::default() };
    let answer = server.ask(&request).created();
    // The URL has the server's port, not the port of the request.
    assert_eq!(answer["workspace"]["url"], format!("http://acme.cx.example.com:{}", server.address().port()));
    whoami(&server, "acme.cx.example.com").refused(401, "token_missing");
}

#[test]
fn what_a_proxy_forwards_counts_from_those_that_are_trusted_alone() {
    let forwarded = [("X-Forwarded-Host", "acme.localhost"), ("X-Forwarded-Proto", "https")];
    let front = Request { method: "GET", path: "/api", host: "localhost", headers: &forwarded, ..Request::default() };
    for (trusted, layer) in [("10.0.0.1", "central"), ("10.0.0.1, 127.0.0.1", "workspace")] {
        let server = TestServer::with(&["--trusted-proxies", trusted]);
        let acme = server.team("acme").inside;
        assert_eq!(server.ask(&front).ok()["layer"], layer, "{trusted}");
        let customers = Request { path: "/api/customers", host: &acme.host, token: acme.token.as_deref(), ..front };
        let scheme = if layer == "workspace" { "https" } else { "http" };
        assert_eq!(server.ask(&customers).ok()["path"], format!("{scheme}://acme.localhost/api/customers"));
    }
}

#[test]
fn a_trusted_proxys_fields_are_read_whole_or_refused() {
    let ask = |server: &TestServer, name: &str, value: &str| {
        let headers = [(name, value)];
        let request =
            Request { method: "GET", path: "/api", host: "localhost", headers: &headers, ..Request::default() };
        server.ask(&request)
    };
    let server = TestServer::with(&["--trusted-proxies", "127.0.0.0/8"]);
    assert_eq!(ask(&server, "X-Forwarded-Host", "made-up.localhost, localhost").ok()["layer"], "central");
    for (name, value) in
        [("X-Forwarded-For", "unknown"), ("X-Forwarded-For", "192.0.2.1;junk"), ("X-Forwarded-Proto", "gopher")]
    {
        ask(&server, name, value).refused(400, "bad_request");
    }
    ask(&server, "X-Forwarded-For", "\"[2001:db8::1]:4711\"").ok();
    assert!(server.whole_log().contains("\"peer\":\"2001:db8::1\""), "{}", server.log());

    let server = TestServer::with(&["--trusted-proxies", "127.0.0.1", "--forwarded-fields", "forwarded"]);
    ask(&server, "Forwarded", "for=\"192.0.2.1:80\";host=localhost;proto=HTTPS").ok();
    ask(&server, "X-Forwarded-For", "junk that the client made up").ok();
    ask(&server, "Forwarded", "for=_hidden").refused(400, "bad_request");
    let log = server.whole_log();
    assert!(log.contains("\"peer\":\"192.0.2.1\"") && log.contains("\"peer\":\"127.0.0.1\""), "{log}");
}

#[test]
fn links_that_last_name_the_public_url_whatever_a_request_names() {
    let server = TestServer::with(&["--public-url", "https://localhost:8443"]);
    let owner = server.register("ada");
    server.workspace(&owner, "acme");
    let ask = |method, path, host, body: Option<&str>| {
        let token = owner.token.as_deref().filter(|_| body.is_none());
        server.ask(&Request { method, path, host, token, body, ..Request::default() })
    };
    let forgot = Some(r#"{"email":"ada@example.com"}"#);
    ask("POST", "/api/password/forgot", "localhost:6666", forgot).ok();
    let outbox = server.data().join("outbox");
    let mut mails = String::new();
    eventually("the mail is in its file", || {
        let files = fs::read_dir(&outbox).into_iter().flatten().map(|file| file.unwrap().path());
        let mails_now = files.filter(|path| path.extension().is_some_and(|ending| ending == "eml"));
        // Long lines are folded (RFC 2045, 6.7).
        mails = mails_now.map(|path| fs::read_to_string(path).unwrap().replace("=\r\n", "")).collect();
        mails.contains("/ui/password-reset")
    });
    assert!(mails.contains("https://localhost:8443/ui/password-reset") && !mails.contains("6666"), "{mails}");

    let workspaces = ask("GET", "/api/workspaces", "localhost:6666", None).ok();
    assert_eq!(workspaces["data"][0]["url"], "https://acme.localhost:8443");
    for host in ["acme.localhost", "acme.localhost:443", "ACME.localhost:6666"] {
        let metadata = ask("GET", "/.well-known/oauth-authorization-server", host, None).ok();
        assert_eq!(metadata["issuer"], "https://acme.localhost:8443", "{host}");
    }
}

#[test]
fn a_proxy_is_told_for_which_domains_it_may_get_a_certificate() {
    let server = TestServer::new();
    let owner = server.register("ada");
    server.workspace(&owner, "acme");
    server.workspace(&owner, "gone");
    let ask = |query: &str| {
        let path = format!("/internal/tls-ask{query}");
        server.ask(&Request { method: "GET", path: &path, host: "127.0.0.1:8080", ..Request::default() })
    };
    let domain = |name: &str| ask(&format!("?domain={name}"));
    for ours in ["localhost", "acme.localhost", "ACME.localhost", "gone.localhost"] {
        assert_eq!((domain(ours).status, &*domain(ours).text), (200, "ok\n"), "{ours}");
    }
    for other in
        ["example.com", "localhost.com", "nobody.localhost", "a.acme.localhost", "www.localhost", "127.0.0.1", ""]
    {
        domain(other).refused(404, "unknown_host");
    }
    for unclear in ["", "?", "?domains=acme.localhost", "?domain=localhost&domain=acme.localhost"] {
        ask(unclear).refused(400, "bad_request");
    }
    // A suspended workspace keeps its certificate, so that clients can read the error over TLS. A deleted one does not.
    server.cli(&["workspace", "suspend", "acme"]).ok();
    server.cli(&["workspace", "delete", "gone", "--confirm", "gone"]).ok();
    assert_eq!(domain("acme.localhost").status, 200);
    domain("gone.localhost").refused(404, "unknown_host");
}
