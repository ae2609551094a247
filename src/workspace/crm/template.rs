//! The CRM template of a PBX. It defines the requests of the PBX to this server, when it sends them, and with which
//! token.
//!
//! Yeastar's format ("XML Descriptions for Integration Template") has Go templates in its values. The administrator
//! enters an integration key, which the PBX sends as a header.
//!
//! 3CX's format ("CRM template XML description") has a parameter of the type `OAuth`. The administrator clicks its
//! button and approves here. 3CX then stores one value that the response scenario extracts. The template extracts the
//! access token, which is valid for a year. A refresh token would not work: each use returns a new one, and 3CX cannot
//! store it.

use std::str::FromStr;

use askama::Template;
use schemars::{JsonSchema, json_schema};
use serde::{Deserialize, Serialize};

use crate::api::{Ctx, Query, Result, Xml, render};
use crate::values::{described, read_from_text};

/// The PBX that needs a template.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TemplateQuery {
    /// Name of the PBX.
    pbx: Pbx,
}

/// A PBX with a template. The blank value is invalid.
#[derive(Debug, Default, Serialize)]
pub struct Pbx(&'static str);

const THREE_CX: &str = "3cx";
const YEASTAR: &str = "yeastar";
const KNOWN: [&str; 2] = [THREE_CX, YEASTAR];

impl FromStr for Pbx {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = KNOWN.into_iter().find(|known| *known == text);
        known.map(Self).ok_or_else(|| format!("must be a PBX with a template: {}.", KNOWN.join(", ")))
    }
}

read_from_text!(Pbx);
described!(Pbx, json_schema!({"type": "string", "enum": KNOWN}));

#[derive(Template)]
#[template(path = "crm_3cx.xml")]
struct ThreeCx<'a> {
    /// The address of the workspace, without a trailing slash.
    origin: &'a str,
}

#[derive(Template)]
#[template(path = "crm_yeastar.xml")]
struct Yeastar<'a> {
    /// The address of the workspace, without a trailing slash.
    origin: &'a str,
}

pub fn download(ctx: &mut Ctx<'_>, Query(asked): Query<TemplateQuery>) -> Result<Xml> {
    let origin = &ctx.request.workspace_url()?;
    Ok(match asked.pbx.0 {
        YEASTAR => Xml { name: "CXEngine-Yeastar.xml", text: render(&Yeastar { origin })? },
        _ => Xml { name: "CXEngine.xml", text: render(&ThreeCx { origin })? },
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use http::Method;
    use roxmltree::{Document, Node};
    use serde_json::{Map, Value, json};

    use crate::tests::{TestClient, TestServer};

    /// The redirect URI of 3CX.
    const CALLBACK: &str = "https://pbx.example.com/webclient/callback";

    /// A simulated PBX with a template and the values that its administrator entered.
    struct Pbx<'b> {
        server: &'b TestServer,
        template: String,
        entered: HashMap<&'static str, String>,
    }

    /// The outputs of a scenario, per contact.
    type Outputs = Vec<HashMap<String, String>>;

    impl<'b> Pbx<'b> {
        /// With the template's own values.
        fn new(server: &'b TestServer, account: &str) -> Self {
            let template = server.admin().get("/crm/template?pbx=3cx").text;
            let mut entered = HashMap::new();
            for parameter in
                Document::parse(&template).unwrap().descendants().filter(|node| node.has_tag_name("Parameter"))
            {
                let name = parameter.attribute("Name").unwrap();
                let known = [
                    "AccessToken",
                    "AccountID",
                    "ClientID",
                    "ClientSecret",
                    "CreateContactEnabled",
                    "ReportCallEnabled",
                    "ReportChatEnabled",
                    "Subject",
                    "ChatSubject",
                ];
                let name = *known.iter().find(|known| **known == name).expect("a parameter that the test knows");
                entered.insert(name, parameter.attribute("Default").unwrap_or_default().to_owned());
            }
            entered.insert("AccountID", account.to_owned());
            Self { server, template, entered }
        }

        /// Authorizes like an administrator: enters the workspace's client, clicks the button, signs in on the page
        /// that opens, and approves. The PBX exchanges the code for a token.
        fn authorised(server: &'b TestServer, customer: Option<i64>, account: &str) -> Self {
            let mut pbx = Self::new(server, account);
            let client = json!({
                "name": "3CX", "redirect_uris": [CALLBACK], "grants": ["authorization_code"],
                "scopes": ["client", "crm"], "customer_id": customer,
            });
            let client = server.admin().post("/oauth-clients", client).created();
            let text = |field: &str| client[field].as_str().unwrap().to_owned();
            pbx.entered.extend([("ClientID", text("client_id")), ("ClientSecret", text("client_secret"))]);

            let document = Document::parse(&pbx.template).unwrap();
            let button = document.descendants().find(|node| node.attribute("Type") == Some("OAuth")).unwrap();
            let mut knows = pbx.entered.clone();
            knows.extend([("RedirectUri", CALLBACK.to_owned()), ("State", "s 1".to_owned())]);
            let asked = fill(button.attribute("RequestUrlParameters").unwrap(), &knows);
            let path = button.attribute("RequestUrl").unwrap().strip_prefix("http://acme.localhost").unwrap();
            let code = server.approve("owner@example.com", &format!("{path}?{}", asked.replace(' ', "%20")));

            let scenario = scenario(&document, button.attribute("ResponseScenario").unwrap());
            let request = child(scenario, "Request").unwrap();
            knows.insert("code", code);
            let Value::Object(values) = posted(request, &knows) else { panic!("values have names") };
            let form: Vec<(&str, &str)> =
                values.iter().map(|(name, value)| (&**name, value.as_str().unwrap())).collect();
            assert_eq!(request.attribute("RequestEncoding"), Some("UrlEncoded"));
            let path = request.attribute("Url").unwrap().strip_prefix("http://acme.localhost").unwrap();
            let answer = server.anonymous().at("acme.localhost").submit(path, &form).ok();
            let token = child(scenario, "Variables").and_then(|variables| child(variables, "Variable")).unwrap();
            let token = answer[token.attribute("Path").unwrap()].as_str().unwrap().to_owned();
            pbx.entered.insert("AccessToken", token);
            pbx
        }

        /// Runs a scenario with the values that the PBX has.
        fn play(&self, id: &str, knows: &[(&'static str, &str)]) -> Outputs {
            let mut variables = self.entered.clone();
            variables.extend(knows.iter().map(|(name, value)| (*name, (*value).to_owned())));
            let document = Document::parse(&self.template).unwrap();
            let scenario = scenario(&document, id);
            let request = child(scenario, "Request").unwrap();
            if let Some((flag, "True")) = request.attribute("SkipIf").unwrap().split_once("!=")
                && fill(flag, &variables) != "True"
            {
                return Outputs::new();
            }
            let answer = self.send(request, &variables);
            let Some(rule) = child(scenario, "Rules").and_then(|rules| child(rules, "Rule")) else {
                return Outputs::new();
            };
            let (records, _) = rule.text().unwrap().split_once('.').unwrap();
            let records = match &answer[records] {
                Value::Array(records) => records.clone(),
                record => vec![record.clone()],
            };
            records.iter().map(|record| outputs(scenario, record, &variables)).collect()
        }

        fn send(&self, request: Node<'_, '_>, variables: &HashMap<&'static str, String>) -> Value {
            let url = fill(request.attribute("Url").unwrap(), variables).replace(' ', "%20");
            let path = url.strip_prefix("http://acme.localhost/api").expect("a URL of the workspace").to_owned();
            let headers = child(request, "Headers").and_then(|headers| child(headers, "Value")).unwrap();
            assert_eq!(headers.attribute("Key"), Some("Authorization"));
            let authorization = fill(headers.text().unwrap(), variables);
            let token = authorization.strip_prefix("Bearer ").unwrap().to_owned();
            let client = self.server.anonymous().at("acme.localhost").with_token(token);
            let (method, body) = match request.attribute("RequestType").unwrap() {
                "Get" => (Method::GET, None),
                "Post" => (Method::POST, Some(posted(request, variables))),
                other => panic!("{other}"),
            };
            let answer = client.send(method, &path, body);
            assert!(answer.status.is_success(), "{path}: {answer:?}");
            answer.json()
        }
    }

    fn scenario<'a, 'd>(document: &'a Document<'d>, id: &str) -> Node<'a, 'd> {
        let is_wanted = |node: &Node<'_, '_>| node.has_tag_name("Scenario") && node.attribute("Id") == Some(id);
        document.descendants().find(is_wanted).unwrap()
    }

    fn child<'a, 'd>(node: Node<'a, 'd>, name: &str) -> Option<Node<'a, 'd>> {
        node.children().find(|child| child.has_tag_name(name))
    }

    fn posted(request: Node<'_, '_>, variables: &HashMap<&'static str, String>) -> Value {
        let values = child(request, "PostValues").unwrap().children().filter(|value| value.has_tag_name("Value"));
        let named = |value: Node<'_, '_>| {
            (value.attribute("Key").unwrap().to_owned(), json!(fill(value.text().unwrap(), variables)))
        };
        Value::Object(values.map(named).collect::<Map<_, _>>())
    }

    fn outputs(
        scenario: Node<'_, '_>,
        record: &Value,
        variables: &HashMap<&'static str, String>,
    ) -> HashMap<String, String> {
        let mut variables = variables.clone();
        for variable in child(scenario, "Variables").unwrap().children().filter(|child| child.has_tag_name("Variable"))
        {
            let (_, field) = variable.attribute("Path").unwrap().split_once('.').unwrap();
            let value = record[field].as_str().unwrap_or_else(|| panic!("{field} is no text in {record}"));
            variables.insert(variable.attribute("Name").unwrap().to_owned().leak(), value.to_owned());
        }
        let outputs = child(scenario, "Outputs").unwrap().children().filter(|child| child.has_tag_name("Output"));
        let named = |output: Node<'_, '_>| {
            (output.attribute("Type").unwrap().to_owned(), fill(output.attribute("Value").unwrap(), &variables))
        };
        outputs.map(named).collect()
    }

    /// Replaces variables in brackets, which may have a format, by their values.
    fn fill(text: &str, variables: &HashMap<&'static str, String>) -> String {
        let mut text = text.to_owned();
        for (name, value) in variables {
            text = text.replace(&format!("[[{name}].ToString(\"yyyy-MM-ddTHH:mm:ssZ\")]"), value);
            text = text.replace(&format!("[{name}]"), value);
        }
        assert!(!text.contains(['[', ']']), "{text} names what the PBX does not know");
        text
    }

    const CALL: &[(&str, &str)] = &[
        ("Number", "+33142000000"),
        ("Name", "Zoé \"Z\" <Lefèvre>"),
        ("EntityId", "2"),
        ("Agent", "204"),
        ("AgentFirstName", "Ada"),
        ("AgentLastName", "L"),
        ("AgentEmail", "owner@example.com"),
        ("QueueExtension", ""),
        ("CallStartTimeUTC", "2024-01-19T09:00:00Z"),
        ("CallEndTimeUTC", "2024-01-19T09:02:00Z"),
    ];

    #[test]
    fn a_pbx_looks_up_creates_and_journals_as_its_template_says() {
        let server = TestServer::new();
        let customer =
            server.admin().post("/customers", json!({"name": "A", "customer_account": "A 1"})).created()["id"].clone();
        let pbx = Pbx::authorised(&server, None, "A 1");
        // A contact that only the PBX of another customer can find.
        let theirs = server.admin().post("/customers", json!({"name": "B"})).created()["id"].clone();
        let theirs = json!({"last_name": "B", "fax": "0142000000", "email": "zoe@example.com", "customer_id": theirs});
        server.admin().post("/contacts", theirs).created();

        let stranger = &pbx.play("", &[("Number", "+33142000000")])[0];
        assert_eq!(
            (&*stranger["EntityId"], &*stranger["LastName"], &*stranger["PhoneBusiness"]),
            ("0", "+33142000000", "+33142000000")
        );
        let new =
            [("FirstName", "Zoé"), ("LastName", "Lefèvre"), ("Email", "zoe@example.com"), ("Number", "+33142000000")];
        let created = &pbx.play("CreateContactRecordFromClient", &new)[0];
        assert_eq!((&*created["EntityId"], &*created["ContactUrl"]), ("2", "http://acme.localhost/ui/contacts/2"));
        assert_eq!(server.admin().get("/contacts/2").ok()["customer_id"], customer);
        for known in
            [pbx.play("", &[("Number", "0142000000")]), pbx.play("LookupByEmail", &[("Email", "zoe@example.com")])]
        {
            let shown = ["EntityId", "EntityType", "FirstName", "LastName", "CompanyName", "Email", "PhoneBusiness"];
            let shown = shown.map(|output| known[0][output].as_str());
            assert_eq!(shown, ["2", "Contacts", "Zoé", "Lefèvre", "", "zoe@example.com", "+33142000000"]);
        }
        // 3CX drops a contact that does not have the requested number. So the outputs repeat that number.
        assert_eq!(pbx.play("", &[("Number", "0142000000")])[0]["PhoneOther"], "0142000000");

        for call_type in ["Inbound", "Inbound", "Missed"] {
            let missed = [("CallType", call_type), ("Agent", if call_type == "Missed" { "205" } else { "204" })];
            pbx.play("ReportCall", &[CALL, &missed].concat());
        }
        let calls = server.admin().get("/phone-calls").ok();
        assert_eq!(calls["total"], 2, "a call that is reported twice is one");
        let call = &calls["data"][1];
        let kept = json!({
            "direction": "inbound", "status": "completed", "number_from": "+33142000000", "contact_id": 2, "customer_id": customer,
            "agent_extension": "204", "agent_name": "Ada L", "user_id": 1, "queue": null, "duration_s": 120,
            "started_at": "2024-01-19T09:00:00Z", "subject": "Zoé \"Z\" <Lefèvre>",
        });
        for (field, value) in kept.as_object().unwrap() {
            assert_eq!(&call[field], value, "{field}");
        }

        pbx.play("ReportChat", &[CALL, &[("ChatMessages", "Bonjour 👋\nOui")]].concat());
        let chat = &server.admin().get("/crm/lookup/chats").ok()["data"][0];
        assert_eq!(
            (&chat["body"], &chat["contact_id"], &chat["customer_id"]),
            (&json!("Bonjour 👋\nOui"), &json!(2), &customer)
        );

        // The journalled call belongs to the customer of the PBX, even if the caller is unknown.
        let nobody =
            [CALL, &[("CallType", "Inbound"), ("Number", "0149000000"), ("EntityId", "0"), ("ChatMessages", "")]]
                .concat();
        pbx.play("ReportCall", &nobody);
        pbx.play("ReportChat", &nobody);
        for path in ["/phone-calls", "/crm/lookup/chats"] {
            let newest = &server.admin().get(path).ok()["data"][0];
            assert_eq!((&newest["contact_id"], &newest["customer_id"]), (&Value::Null, &customer), "{path}");
        }
    }

    #[test]
    fn a_bound_pbx_needs_no_account_and_reports_what_it_is_told_to() {
        let server = TestServer::new();
        let customer = server.admin().post("/customers", json!({"name": "A"})).created()["id"].as_i64();
        let mut pbx = Pbx::authorised(&server, customer, "");
        let call = [CALL, &[("CallType", "Notanswered"), ("EntityId", "0")]].concat();
        pbx.play("ReportCall", &call);
        assert_eq!(server.admin().get("/phone-calls").ok()["data"][0]["customer_id"].as_i64(), customer);
        pbx.entered.insert("ReportCallEnabled", "False".into());
        pbx.play("ReportCall", &[&*call, &[("Agent", "206")]].concat());
        assert_eq!(server.admin().get("/phone-calls").ok()["total"], 1);
    }

    #[test]
    fn the_template_is_of_the_workspace_whatever_host_it_is_asked_of() {
        let server = TestServer::new();
        let download = |client: TestClient<'_>| client.get("/crm/template?pbx=3cx");
        let answer = download(server.admin());
        assert_eq!(answer.headers["content-type"], "application/xml");
        assert_eq!(answer.headers["content-disposition"], "attachment; filename=\"CXEngine.xml\"");
        let document = Document::parse(&answer.text).unwrap();
        let crm = document.root_element();
        let children: Vec<&str> = crm.children().filter(Node::is_element).map(|node| node.tag_name().name()).collect();
        assert_eq!(
            (crm.tag_name().name(), &*children),
            ("Crm", &["Number", "Connection", "Parameters", "Authentication", "Scenarios"][..])
        );
        let oauth = document.descendants().find(|node| node.attribute("Type") == Some("OAuth")).unwrap();
        assert_eq!(oauth.attribute("RequestUrl"), Some("http://acme.localhost/oauth/authorize"));
        let scenario = oauth.attribute("ResponseScenario");
        let response = document
            .descendants()
            .find(|node| node.has_tag_name("Scenario") && node.attribute("Id") == scenario)
            .unwrap();
        assert_eq!(child(response, "Request").unwrap().attribute("Url"), Some("http://acme.localhost/oauth/token"));

        assert_eq!(download(server.admin().at("localhost")).text, answer.text);
        // The template ignores the port in the request's Host header.
        assert_eq!(download(server.admin().at("ACME.localhost:8080")).text, answer.text);
        let other = download(server.admin_of_other()).text;
        assert!(!other.contains("acme") && other.contains("http://other.localhost/api/crm/lookup"), "{other}");
    }

    #[test]
    fn a_pbx_must_be_one_that_there_is_a_template_for() {
        let server = TestServer::new();
        for query in ["", "?pbx="] {
            server.admin().get(&format!("/crm/template{query}")).invalid(&["The pbx field is required."]);
        }
        let unknown = server.admin().get("/crm/template?pbx=3CX9000");
        unknown.invalid(&["The pbx must be a PBX with a template: 3cx, yeastar."]);
    }

    /// Fills the Go template of a value: conditions on equality, variables, and functions that keep their argument.
    fn fill_go(text: &str, variables: &HashMap<&str, &str>) -> String {
        let (mut filled, mut rest) = (String::new(), text);
        // Of nested conditions: whether a branch was taken, and whether the present branch is written.
        let mut branches: Vec<(bool, bool)> = Vec::new();
        let is_equal = |words: &[&str]| variables[words[0].trim_start_matches('.')] == words[1].trim_matches('"');
        while let Some((before, after)) = rest.split_once("{{") {
            let (action, after) = after.split_once("}}").expect("a closed action");
            let is_written = branches.iter().all(|(_, is_written)| *is_written);
            if is_written {
                filled += before;
            }
            let words: Vec<&str> = action.split_whitespace().collect();
            match words.as_slice() {
                ["if", "eq", operands @ ..] => branches.push((is_equal(operands), is_equal(operands))),
                ["else", "if", "eq", operands @ ..] => {
                    let branch = branches.last_mut().unwrap();
                    branch.1 = !branch.0 && is_equal(operands);
                    branch.0 |= branch.1;
                }
                ["else"] => {
                    let branch = branches.last_mut().unwrap();
                    branch.1 = !branch.0;
                }
                ["end"] => drop(branches.pop()),
                ["UrlEncode", name] if is_written => {
                    filled.extend(form_urlencoded::byte_serialize(variables[&name[1..]].as_bytes()));
                }
                ["TimeFormat", name, ..] | [name] if is_written => filled += variables[name.trim_start_matches('.')],
                _ => {}
            }
            rest = after;
        }
        filled + rest
    }

    #[test]
    fn a_yeastar_pbx_looks_up_creates_and_journals_as_its_template_says() {
        let server = TestServer::new();
        let template = server.admin().get("/crm/template?pbx=yeastar").text;
        let document = Document::parse(&template).unwrap();
        assert_eq!(document.root_element().attribute("Provider"), Some("crm"));
        let mut variables = HashMap::from([
            ("account_id", ""),
            ("CallerNumber", "+33 6 12 34 56 78"),
            ("CalleeNumber", "0800"),
            ("CallerDisplayName", "Zoé & Co"),
            ("DisplayName", "Lefèvre"),
            ("BusinessNumber", "0612345678"),
            ("StartTimeUnix", "2024-01-20T12:00:00Z"),
            ("Talk_Duration_Sec", "95"),
            ("Subject", "Inbound ANSWERED"),
            ("Communication_Type", "Inbound"),
            ("Call_Status", "ANSWERED"),
        ]);
        let key = json!({"name": "PBX", "permissions": ["crm.lookup"]});
        let key = server.admin().post("/integration-keys", key).created()["key"].as_str().unwrap().to_owned();
        variables.insert("api_key", &key);
        let header = document.descendants().find(|node| node.attribute("Name") == Some("Authorization")).unwrap();
        let token = fill_go(header.attribute("Value").unwrap(), &variables);
        let pbx = server.anonymous().at("acme.localhost").with_token(token.strip_prefix("Bearer ").unwrap().into());
        let ask = |id: &str, variables: &HashMap<&str, &str>| {
            let request = child(child(scenario(&document, id), "Requests").unwrap(), "Request").unwrap();
            let url = fill_go(request.attribute("URLFormat").unwrap(), variables);
            let path = url.strip_prefix("http://acme.localhost/api").unwrap().to_owned();
            match request.attribute("Method") {
                Some("GET") => pbx.get(&path).ok(),
                _ => {
                    let body = child(child(request, "Parameters").unwrap(), "Parameter").unwrap();
                    let body = fill_go(body.attribute("Value").unwrap(), variables);
                    pbx.post(&path, serde_json::from_str(&body).unwrap()).created()
                }
            }
        };
        assert_eq!(ask("SyncContactAuto", &variables)["contacts"][0]["id"], "0", "the outputs leave this one out");
        let made = ask("CreateNewContact", &variables);
        let found = ask("SyncContactAuto", &variables);
        assert_eq!(found["contacts"][0]["id"], made["contact"]["id"]);
        for (kind, status, direction, outcome) in [
            ("Inbound", "ANSWERED", "inbound", "completed"),
            ("Inbound", "NO ANSWER", "inbound", "missed"),
            ("Outbound", "ANSWERED", "outbound", "completed"),
            ("Outbound", "BUSY", "outbound", "no_answer"),
        ] {
            variables.extend([
                ("Communication_Type", kind),
                ("Call_Status", status),
                ("StartTimeUnix", "2024-01-20T12:00:00Z"),
            ]);
            let call = ask("CallJournal", &variables)["phone_call"].clone();
            assert_eq!((&call["direction"], &call["status"]), (&json!(direction), &json!(outcome)), "{call}");
            assert_eq!(call["started_at"], "2024-01-20T12:00:00Z");
        }
    }
}
