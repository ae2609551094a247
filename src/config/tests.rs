use super::values::has_path;
use super::*;

fn typed(name: &str, value: &str) -> RawSettings {
    let mut typed = RawSettings::default();
    typed.insert(Setting::named(name).unwrap(), value.into(), "a test".into());
    typed
}

#[test]
fn the_defaults_are_allowed() {
    let config = Config::new(&RawSettings::default()).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.registration, Registration::Open);
    assert_eq!((config.throttle_attempts, config.throttle_window), (10, 900));
}

#[test]
fn a_wrong_value_is_refused_with_its_key_the_value_and_what_is_allowed() {
    for (name, value) in [
        ("listen", "8080"),
        ("registration", "maybe"),
        ("central_domain", "a..b"),
        ("max_open_workspaces", "0"),
        ("turn_timeout", "-1"),
        ("default_country", "Narnia"),
        ("timezone", "Mars/Olympus"),
        ("mail_from", "nobody"),
        ("trusted_proxies", "10.0.0.0/40"),
        ("forwarded_fields", "both"),
        ("public_url", "https://cx.example.com/api"),
        ("cors_origins", "example.com"),
        ("store_region", "eu west"),
        ("backup_expect", "tomorrow"),
        ("backup_expect", "59"),
        ("backup_expect", "-1d"),
        ("backup_part_mib", "0"),
        ("backup_region", "eu west"),
        ("acknowledge", "never"),
        ("node_name", "node.example.com"),
        ("cluster_keep", "7d"),
        ("log", "info,=="),
        ("log", "inof"),
        ("log", ""),
        ("log", "info,cx_enigne=debug"),
        ("log", "cx_engine=inof"),
    ] {
        let said = Config::new(&typed(name, value)).unwrap_err().to_string();
        let allowed = Setting::named(name).unwrap().allowed;
        assert!(said.contains(name) && said.contains(value) && said.contains(allowed), "{said}");
    }
}

#[test]
fn the_public_url_is_as_it_is_set_or_follows_from_how_the_server_is_reached() {
    let central = |set: &[(&str, &str)]| {
        let mut all = typed("central_domain", "cx.example.com");
        for (name, value) in set {
            all.override_with(typed(name, value));
        }
        Config::new(&all).unwrap().public_url("127.0.0.1:8080".parse().unwrap()).central()
    };
    assert_eq!(central(&[]), "http://cx.example.com:8080");
    assert_eq!(central(&[("trusted_proxies", "127.0.0.1")]), "https://cx.example.com");
    assert_eq!(central(&[("tls_certificate", "a"), ("tls_key", "b")]), "https://cx.example.com:8080");
    let set = [("public_url", "https://cx.example.com:8443"), ("trusted_proxies", "127.0.0.1")];
    assert_eq!(central(&set), "https://cx.example.com:8443");
}

#[test]
fn a_backup_is_expected_where_it_is_copied_unless_the_setting_says_otherwise() {
    let expect = |set: &[(&str, &str)]| {
        let mut all = RawSettings::default();
        set.iter().for_each(|(name, value)| all.override_with(typed(name, value)));
        Config::new(&all).unwrap().backup_expect
    };
    let recipient = crate::offsite::NewKey::generate().public().to_string();
    let copied = [("backup_to", "command:/bin/true"), ("backup_recipients", recipient.as_str())];
    assert_eq!(expect(&[]), None);
    assert_eq!(expect(&copied), Some(26 * 3600));
    assert_eq!(expect(&[copied[0], copied[1], ("backup_expect", "0")]), None);
    for (text, seconds) in [("90m", 5400), ("1d", 86_400), ("36h", 129_600), ("600", 600)] {
        assert_eq!(expect(&[("backup_expect", text)]), Some(seconds));
    }
}

#[test]
fn an_object_store_has_an_address_and_both_keys() {
    let all = |set: &[(&str, &str)]| {
        let mut all = RawSettings::default();
        set.iter().for_each(|(name, value)| all.override_with(typed(name, value)));
        Config::new(&all)
    };
    let (url, key, secret) = ("https://s3.example.com/cx-data/a", ("store_key_file", "a"), ("store_secret_file", "b"));
    let config = all(&[("store_url", url), ("store_region", "eu-west-3"), key, secret]).unwrap();
    let store = config.store.unwrap();
    assert_eq!((store.url, store.region.as_str()), (url.parse().unwrap(), "eu-west-3"));
    assert_eq!((store.key_file, store.secret_file), (PathBuf::from("a"), PathBuf::from("b")));
    assert_eq!((config.acknowledge, config.cluster_keep), (Acknowledge::Stored, 7 * 86_400));
    assert!(!config.node_name.is_empty() && !config.node_name.contains('.'), "{}", config.node_name);
    assert!(all(&[key, secret]).unwrap().store.is_none(), "without an address there is no store");
    for set in [vec![("store_url", url)], vec![("store_url", url), key], vec![("store_url", url), secret]] {
        let said = all(&set).unwrap_err().to_string();
        assert!(said.contains("store_key_file and store_secret_file"), "{said}");
    }
    for bad in ["s3.example.com/cx-data", "https://key:secret@s3.example.com/cx-data", "http://203.0.114.1/cx-data"] {
        let said = all(&[("store_url", bad), key, secret]).unwrap_err().to_string();
        assert!(said.contains("http:// only to a loopback or private address") && !said.contains("secret@"), "{said}");
    }
}

#[test]
fn a_node_has_a_url_a_secret_and_a_store() {
    let all = |set: &[(&str, &str)]| {
        let mut all = RawSettings::default();
        let store =
            [("store_url", "s3://cx-data"), ("store_key_file", "a"), ("store_secret_file", "b"), ("node_url", URL)];
        store.iter().chain(set).for_each(|(name, value)| all.override_with(typed(name, value)));
        Config::new(&all)
    };
    const URL: &str = "http://10.0.0.2:8080";
    let secret = ("node_secret_file", "c");
    let node = all(&[secret]).unwrap().node.unwrap();
    assert_eq!((node.url.as_str(), node.secret_file), (URL, PathBuf::from("c")));
    for (written, url) in [
        ("http://10.0.0.2:8080/", URL),
        ("https://node-1.internal", "https://node-1.internal"),
        ("http://[fd00::1]:8080", "http://[fd00::1]:8080"),
    ] {
        assert_eq!(all(&[secret, ("node_url", written)]).unwrap().node.unwrap().url, url);
    }
    for (set, said) in [
        (vec![], "node_secret_file"),
        (vec![("node_url", ""), secret], "node_secret_file"),
        (vec![("node_url", ""), ("node_root", "ca.pem")], "with node_url"),
        (vec![secret, ("store_url", "")], "node_url needs store_url"),
        (vec![secret, ("acknowledge", "local")], "node_url needs store_url"),
        (vec![secret, ("node_url", "10.0.0.2:8080")], "http://HOST"),
        (vec![secret, ("node_url", "ftp://10.0.0.2")], "http://HOST"),
        (vec![secret, ("node_url", "http://10.0.0.2/api")], "http://HOST"),
        (vec![secret, ("node_url", "http://10.0.0.2/?a")], "http://HOST"),
        (vec![secret, ("node_url", "http://ada@10.0.0.2")], "http://HOST"),
        (vec![secret, ("node_url", "http://10.0.0.2:0")], "http://HOST"),
    ] {
        let error = all(&set).unwrap_err().to_string();
        assert!(error.contains(said), "{set:?}: {error}");
    }
}

#[test]
fn reads_of_one_workspace_leave_a_thread_to_others() {
    assert!(Config::new(&typed("read_turns", "4")).unwrap_err().to_string().contains("database_threads"));
}

#[test]
fn what_is_printed_can_be_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cx-engine.toml");
    std::fs::write(&path, print(&typed("central_domain", "cx.example.com"))).unwrap();
    let mut read = RawSettings::default();
    read.add_file(&path).unwrap();
    assert_eq!(Config::new(&read).unwrap().central_domain, "cx.example.com");
}

#[test]
fn mail_comes_from_the_central_domain_where_nothing_else_is_said() {
    assert_eq!(
        Config::new(&typed("central_domain", "cx.example.com")).unwrap().mail_from.to_string(),
        "cx-engine <no-reply@cx.example.com>"
    );
    let config = Config::new(&typed("mail_from", "Acme <acme@example.com>")).unwrap();
    assert_eq!(config.mail_from.to_string(), "Acme <acme@example.com>");
}

#[test]
fn a_mail_servers_password_is_never_shown() {
    for good in [
        "smtp://127.0.0.1:2525",
        "smtp://ada:sec%2Fret@mail.example.com:587/cx.example.com?tls=required",
        "smtps://ada:sec%2Fret@mail.example.com",
    ] {
        let config = Config::new(&typed("smtp_url", good)).unwrap();
        let shown = format!("{config:?}");
        assert!(config.smtp.is_some() && !shown.contains("sec/") && !shown.contains("sec%"), "{shown}");
    }
    let printed = print(&typed("smtp_url", "smtps://ada:sec%2Fret@mail.example.com"));
    assert!(
        printed.contains("# smtp_url = \"smtps://ada:…@mail.example.com\"") && !printed.contains("sec%"),
        "{printed}"
    );
    let printed = print(&typed("smtp_url", "smtp://127.0.0.1"));
    assert!(printed.contains("\nsmtp_url = \"smtp://127.0.0.1\""), "{printed}");
    for bad in ["mail.example.com", "http://ada:secret@example.com", "smtp://ada:secret@mail.example.com?tls=maybe"] {
        let said = Config::new(&typed("smtp_url", bad)).unwrap_err().to_string();
        assert!(said.contains("smtp_url") && said.contains("a test") && !said.contains("secret"), "{said}");
    }
}

#[test]
fn a_password_leaves_this_machine_by_tls_alone_unless_that_is_allowed() {
    let tls = |url: &str, allowed: &str| {
        let mut all = typed("smtp_url", url);
        all.override_with(typed("smtp_plain_password", allowed));
        let said = format!("{:?}", Config::new(&all).unwrap().smtp);
        let known = ["Opportunistic", "Required", "Wrapper"].into_iter().find(|known| said.contains(known));
        known.unwrap_or("None")
    };
    for (url, allowed, expected) in [
        ("smtp://mail.example.com", "false", "Opportunistic"),
        ("smtp://ada@mail.example.com", "false", "Opportunistic"),
        ("smtp://ada:secret@mail.example.com", "false", "Required"),
        ("smtp://ada:secret@mail.example.com?tls=opportunistic", "false", "Required"),
        ("smtp://ada:secret@192.0.2.1", "false", "Required"),
        ("smtp://ada:secret@mail.example.com", "true", "Opportunistic"),
        ("smtp://ada:secret@mail.example.com?tls=required", "true", "Required"),
        ("smtp://ada:secret@localhost:25", "false", "Opportunistic"),
        ("smtp://ada:secret@127.0.0.1", "false", "Opportunistic"),
        ("smtp://ada:secret@[::1]", "false", "Opportunistic"),
        ("smtps://ada:secret@mail.example.com", "false", "Wrapper"),
    ] {
        assert_eq!(tls(url, allowed), expected, "{url}");
    }
}

#[test]
fn a_urls_path_is_the_name_that_we_greet_a_mail_server_by() {
    for (url, named) in [("smtp://a", false), ("smtp://a:25/", false), ("smtp://a/b", true), ("smtp://a?x=/", false)] {
        assert_eq!(has_path(url), named, "{url}");
    }
}

#[test]
fn a_name_that_is_not_known_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cx-engine.toml");
    std::fs::write(&path, "lisen = \"x\"").unwrap();
    let said = RawSettings::default().add_file(&path).unwrap_err().to_string();
    assert!(said.contains("lisen") && said.contains("listen"), "{said}");
}
